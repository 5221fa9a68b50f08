//! Names of real programs, with debug information that comes later.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use hearth_objfile::ObjectFile;
use object::ReadCache;

use super::*;
use crate::files::Content;

const SOURCE: &str = "static inline int leaf(int x) { return x * x + 7; }
__attribute__((noinline)) static int work(int x) { int t = 0; for (int i = 0; i < x; i++) t += leaf(i ^ t); return t; }
int main(int argc, char **argv) { return work(argc * 1000) & 1; }
";

fn facts(path: &Path) -> Arc<FileFacts> {
    let file = File::open(path).unwrap();
    let object = ObjectFile::parse(&ReadCache::new(file.try_clone().unwrap())).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let content = Some(Content::File(Arc::new(file)));
    Arc::new(FileFacts { path, fingerprint: 0, object: Some(object), content })
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn ask(symbols: &Symbols, facts: &Arc<FileFacts>, address: u64) -> Arc<Named> {
    let key = key(1, facts);
    let addresses = HashSet::from([address]);
    let wanted = Wanted { key: Arc::clone(&key), facts: Arc::clone(facts), pid: None, addresses };
    symbols.resolve(vec![wanted], Duration::from_secs(60));
    symbols.get(&key, address).unwrap()
}

#[test]
fn a_stripped_program_is_named_as_soon_as_its_debug_information_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("program.c"), SOURCE).unwrap();
    let mut gcc = Command::new("gcc");
    if !run(gcc.args(["-O2", "-g", "-o", "program", "program.c"]).current_dir(folder.path())) {
        println!("skipped: no gcc");
        return;
    }
    let symbols_text = Command::new("nm").arg(path("program")).output().unwrap().stdout;
    let symbols_text = String::from_utf8(symbols_text).unwrap();
    let start = symbols_text.lines().find_map(|line| line.strip_suffix(" t work")).unwrap();
    let start = u64::from_str_radix(start, 16).unwrap();
    assert!(run(Command::new("objcopy").arg("--only-keep-debug").args([path("program"), path("kept")])));
    assert!(run(Command::new("strip").arg("-o").args([path("stripped"), path("program")])));
    assert!(run(Command::new("objcopy")
        .arg("--add-gnu-debuglink=kept")
        .arg("stripped")
        .current_dir(folder.path())));

    let (symbols, threads) = Symbols::spawn().unwrap();
    let whole = ask(&symbols, &facts(&path("program")), start);
    assert_eq!(whole.frames.last().unwrap().name, "work");
    assert!(whole.frames[0].file.ends_with("program.c") && whole.frames[0].line > 0);

    // The same build ID, but a new agent: the file it remembers by name is not there yet.
    let (fresh, fresh_threads) = Symbols::spawn().unwrap();
    std::fs::rename(path("kept"), path("elsewhere")).unwrap();
    let stripped = facts(&path("stripped"));
    let unnamed = ask(&fresh, &stripped, start);
    assert_eq!((unnamed.frames.len(), unnamed.start), (0, Some(ElfAddress(start))));

    std::fs::rename(path("elsewhere"), path("kept")).unwrap();
    lock(&fresh.state).names.values_mut().for_each(|names| names.looked = None);
    assert_eq!(ask(&fresh, &stripped, start).frames.last().unwrap().name, "work");
    for (symbols, threads) in [(symbols, threads), (fresh, fresh_threads)] {
        symbols.stop();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
