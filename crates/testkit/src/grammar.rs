//! Judges sampled stacks by the grammar of calls that a program states about itself.
//!
//! The language is described in `e2e/workloads/programs/grammar.c`. Functions that a grammar does not
//! name, and frames without a name, are the *library*: start code, the C library, the vDSO.

use std::collections::{HashMap, HashSet};

use crate::stacks::StackFrame;

const LIBRARY: &str = "library";

/// Which function may stand below which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grammar {
    roots: HashSet<String>,
    interrupts: HashSet<String>,
    calls: HashMap<String, HashSet<String>>,
    through: HashMap<String, HashSet<String>>,
    functions: HashSet<String>,
    inexact: HashSet<String>,
}

/// What a stack that obeys its grammar shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// From a root of the grammar to the leaf.
    Whole,
    /// Only library code: the process starts or ends.
    Library,
    /// It has a function whose call frame information is known to be inexact, and is not judged.
    Inexact,
}

impl Grammar {
    /// The grammar stated in a program's source.
    ///
    /// # Panics
    ///
    /// If it names no root: the test cannot go on.
    pub fn parse(source: &str) -> Self {
        let mut grammar = Self::default();
        for line in source.lines() {
            let line = line.trim().trim_start_matches("//!").trim_start_matches('*').trim();
            let Some((kind, rest)) = line.split_once(' ') else { continue };
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            match kind {
                "roots" => grammar.roots.extend(words(rest)),
                "inexact" => grammar.inexact.extend(words(rest)),
                "interrupts" => grammar.interrupts.extend(words(rest)),
                "calls" | "through" => {
                    let Some((caller, callees)) = rest.split_once(": ") else { continue };
                    let map = if kind == "calls" { &mut grammar.calls } else { &mut grammar.through };
                    map.entry(caller.to_owned()).or_default().extend(words(callees));
                }
                _ => {}
            }
        }
        assert!(!grammar.roots.is_empty(), "no roots in the grammar of\n{source}");
        let named = [&grammar.roots, &grammar.interrupts].into_iter();
        let sets = named.chain(grammar.calls.values()).chain(grammar.through.values());
        let callers = grammar.calls.keys().chain(grammar.through.keys());
        let functions = sets.flatten().chain(callers).filter(|name| *name != LIBRARY).cloned();
        grammar.functions = functions.collect();
        grammar
    }

    /// Judges the user frames of one stack, root first. `stopped` says that frames are missing at the root.
    ///
    /// # Errors
    ///
    /// Which frame cannot stand where it does.
    pub fn check(&self, frames: &[StackFrame], stopped: bool) -> Result<Shape, String> {
        if frames.iter().any(|frame| self.inexact.contains(&frame.function)) {
            return Ok(Shape::Inexact);
        }
        let mut known: Option<&str> = None;
        let mut library = 0;
        for frame in frames {
            let Some(name) = self.function(frame) else {
                library += 1;
                continue;
            };
            match known {
                // A signal may meet start code.
                None if stopped || self.roots.contains(name) || self.interrupts.contains(name) => {}
                None => return Err(format!("{name} at the root")),
                Some(caller) => self.check_call(caller, library, name)?,
            }
            (known, library) = (Some(name), 0);
        }
        let Some(leaf) = known else { return Ok(Shape::Library) };
        // A signal frame alone: the handler has returned, or not yet begun.
        let in_signal_frame = library == 1 && !self.interrupts.is_empty();
        if library > 0 && !self.allows(leaf, LIBRARY) && !in_signal_frame {
            return Err(format!("{leaf} is in the library"));
        }
        Ok(Shape::Whole)
    }

    fn check_call(&self, caller: &str, library: usize, callee: &str) -> Result<(), String> {
        if library == 0 {
            return match self.allows(caller, callee) {
                true => Ok(()),
                false => Err(format!("{caller} calls {callee}")),
            };
        }
        let through = self.through.get(caller).is_some_and(|callees| callees.contains(callee));
        if through || self.interrupts.contains(callee) {
            return Ok(());
        }
        Err(format!("{caller} calls {callee} through {library} frames of the library"))
    }

    fn allows(&self, caller: &str, callee: &str) -> bool {
        self.calls.get(caller).is_some_and(|callees| callees.contains(callee))
    }

    /// The grammar's name of a frame's function, without what compilers append to it.
    fn function(&self, frame: &StackFrame) -> Option<&str> {
        let name = frame.function.split(['.', '(']).next().unwrap_or_default();
        let name = if name.is_empty() { frame.binary.as_str() } else { name };
        let name = name.rsplit("::").next().unwrap_or(name);
        self.functions.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "
        * roots main
        * interrupts handler
        * calls main: a b library
        * calls a: b
        * through a: compare
        * calls b: b
        * inexact switch
    ";

    #[test]
    #[rustfmt::skip]
    fn stacks_obey_or_break_their_grammar() {
        let cases = [
            ("_start;main;a;b",            Ok(Shape::Whole)),
            ("_start;__libc_start_main",   Ok(Shape::Library)),
            ("",                           Ok(Shape::Library)),
            ("main;a;qsort;x;compare",     Ok(Shape::Whole)),
            ("main;b.cold",                Ok(Shape::Whole)),
            ("main;b;restore_rt;handler",  Ok(Shape::Whole)),
            ("start;restore_rt;handler",   Ok(Shape::Whole)),
            ("main;b;restore_rt",          Ok(Shape::Whole)),
            ("main;b;x;switch;x",          Ok(Shape::Inexact)),
            ("main;memcpy",                Ok(Shape::Whole)),
            ("main;b;memcpy;x",            Err("b is in the library")),
            ("main;b;a",                   Err("b calls a")),
            ("main;compare",               Err("main calls compare")),
            ("main;x;b",                   Err("main calls b through 1 frames of the library")),
            ("a;b",                        Err("a at the root")),
        ];
        let grammar = Grammar::parse(SOURCE);
        for (stack, want) in cases {
            let names = stack.split(';').filter(|name| !name.is_empty());
            let frames: Vec<_> =
                names.map(|name| StackFrame { function: name.to_owned(), ..StackFrame::default() }).collect();
            assert_eq!(grammar.check(&frames, false), want.map_err(str::to_owned), "{stack}");
        }
        let part = [StackFrame { function: "b".to_owned(), ..StackFrame::default() }];
        assert_eq!(grammar.check(&part, true), Ok(Shape::Whole), "frames are missing at the root");
    }
}
