//! A thread that answers questions about processes, of which any may block it for good.
//!
//! Reading what /proc shows of a process' memory waits for that memory's lock, which its owner may hold as
//! long as it likes. So a thread that has been at one question for seconds without being runnable is given
//! up, its question has no answer, and another thread takes its place: at most [`LEFT_MAX`] are left behind.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::processes::lock;
use crate::sys;

/// How long a question may take.
const BLOCKED_AFTER: Duration = Duration::from_secs(2);
/// Threads left behind, at most; then questions have no answer until one comes back.
const LEFT_MAX: usize = 8;
/// Questions that wait; further ones have no answer.
const QUESTIONS_MAX: usize = 16_384;

/// Who knows the answers.
pub(crate) trait Answers: Send + Sync + 'static {
    type Question: Send;
    type Answer;
    /// Finds an answer. May block for good.
    fn answer(&self, question: &Self::Question) -> Self::Answer;
    /// Stores it; none if there will be none.
    fn store(&self, question: &Self::Question, answer: Option<Self::Answer>);
    /// Where the questions are.
    fn clerk(&self) -> &Clerk<Self::Question>;
}

/// Questions and the thread that answers them.
#[derive(Debug)]
pub(crate) struct Clerk<Q> {
    name: &'static str,
    state: Mutex<State<Q>>,
    to_do: Condvar,
}

#[derive(Debug)]
struct State<Q> {
    questions: VecDeque<Q>,
    /// What each thread is at, by its number.
    at_work: Vec<Working<Q>>,
    threads: u64,
    left: usize,
    stopped: bool,
}

#[derive(Debug)]
struct Working<Q> {
    number: u64,
    thread: rustix::thread::Pid,
    since: Instant,
    question: Arc<Q>,
}

impl<Q> Clerk<Q> {
    /// Nobody answers before [`start`]. `name` is that of its threads.
    pub(crate) fn new(name: &'static str) -> Self {
        let state =
            State { questions: VecDeque::new(), at_work: Vec::new(), threads: 0, left: 0, stopped: false };
        Self { name, state: Mutex::new(state), to_do: Condvar::new() }
    }

    /// Queues a question; false if there are too many.
    pub(crate) fn ask(&self, question: Q) -> bool {
        let mut state = lock(&self.state);
        let has_room = state.questions.len() < QUESTIONS_MAX && !state.stopped;
        if has_room {
            state.questions.push_back(question);
            self.to_do.notify_one();
        }
        has_room
    }

    /// Lets the threads end.
    pub(crate) fn stop(&self) {
        lock(&self.state).stopped = true;
        self.to_do.notify_all();
    }

    fn next(&self, number: u64) -> Option<Arc<Q>> {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return None;
            }
            if let Some(question) = state.questions.pop_front() {
                let question = Arc::new(question);
                let (thread, since) = (rustix::thread::gettid(), Instant::now());
                state.at_work.push(Working { number, thread, since, question: Arc::clone(&question) });
                return Some(question);
            }
            state = self.to_do.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends a question; false if its thread was given up meanwhile.
    fn done(&self, number: u64) -> bool {
        let mut state = lock(&self.state);
        let before = state.at_work.len();
        state.at_work.retain(|working| working.number != number);
        let is_wanted = state.at_work.len() < before;
        if !is_wanted {
            state.left -= 1;
        }
        is_wanted
    }
}

/// Starts a thread that answers.
pub(crate) fn start<A: Answers>(answers: &Arc<A>) -> std::io::Result<JoinHandle<()>> {
    let shared = Arc::clone(answers);
    let number = {
        let mut state = lock(&answers.clerk().state);
        state.threads += 1;
        state.threads
    };
    std::thread::Builder::new().name(answers.clerk().name.into()).spawn(move || {
        // Processes do not wait to be asked.
        sys::lower_priority(-sys::HURRY);
        while let Some(question) = shared.clerk().next(number) {
            let answer = shared.answer(&question);
            if !shared.clerk().done(number) {
                return;
            }
            shared.store(&question, Some(answer));
        }
    })
}

/// Gives up a thread that is blocked. Call about once a second.
pub(crate) fn watch<A: Answers>(answers: &Arc<A>) {
    let clerk = answers.clerk();
    let blocked = {
        let mut state = lock(&clerk.state);
        if state.left >= LEFT_MAX {
            // Nobody is there to answer.
            let unanswered = std::mem::take(&mut state.questions);
            drop(state);
            unanswered.iter().for_each(|question| answers.store(question, None));
            return;
        }
        let is_blocked =
            |working: &Working<_>| working.since.elapsed() >= BLOCKED_AFTER && !is_runnable(working.thread);
        let at = state.at_work.iter().position(is_blocked);
        state.left += usize::from(at.is_some());
        at.map(|at| state.at_work.swap_remove(at))
    };
    let Some(blocked) = blocked else { return };
    tracing::warn!(thread = clerk.name, "a process blocks whoever reads /proc about it: going on without");
    answers.store(&blocked.question, None);
    if let Err(error) = start(answers) {
        tracing::warn!(%error, thread = clerk.name, "cannot start a thread");
    }
}

/// Whether a thread of ours waits for nothing but a CPU.
pub(crate) fn is_runnable(thread: rustix::thread::Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", thread.as_raw_nonzero()));
    stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('R')))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sleepy {
        clerk: Clerk<u32>,
        answered: Mutex<Vec<(u32, Option<u32>)>>,
    }

    impl Answers for Sleepy {
        type Question = u32;
        type Answer = u32;
        fn answer(&self, question: &u32) -> u32 {
            if *question == 0 {
                std::thread::park();
            }
            question * 2
        }
        fn store(&self, question: &u32, answer: Option<u32>) {
            lock(&self.answered).push((*question, answer));
        }
        fn clerk(&self) -> &Clerk<u32> {
            &self.clerk
        }
    }

    #[test]
    fn a_question_that_blocks_does_not_keep_others_waiting_for_good() {
        let sleepy = Arc::new(Sleepy { clerk: Clerk::new("test"), answered: Mutex::default() });
        let blocked = start(&sleepy).unwrap();
        for question in [1, 0, 2] {
            assert!(sleepy.clerk.ask(question));
        }
        while lock(&sleepy.answered).len() < 3 {
            std::thread::sleep(Duration::from_millis(20));
            watch(&sleepy);
        }
        assert_eq!(*lock(&sleepy.answered), [(1, Some(2)), (0, None), (2, Some(4))]);
        // What comes back too late has no say.
        blocked.thread().unpark();
        blocked.join().unwrap();
        assert_eq!(lock(&sleepy.answered).len(), 3);
        sleepy.clerk.stop();
    }
}
