//! Rows → pages.
//!
//! Compilers write the same prologues and epilogues again and again, so rows are cut into *groups*: a few
//! that follow each other closely, and the one that holds after them. A group that recurs becomes one
//! entry of the dictionary, with a pattern, and each occurrence one row. One that does not is cut in two,
//! until its parts recur or are single rows.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::pages::{self, KEYS_MAX, PAGE_BYTES, PAGE_WORDS, Page, ROOT_WORDS, STEPS_MAX, Statistics, Table};
use crate::rows::{Error, Rows};
use crate::rule::{WIDE, WIDE_MIN, WIDE_WORDS};

/// Bytes of a row in a leaf.
const ROW_BYTES: usize = 3;
/// What else is in a leaf's page: the stamp, four words, the end of the last window.
const LEAF_BYTES: usize = 4 + 4 * LEAF_WORDS + 2;
const LEAF_WORDS: usize = 4;
/// Windows of a leaf.
const WINDOWS_MAX: u32 = 1024;
/// Rounds of cutting groups. Each halves the longest at least, so that these are enough for any.
const ROUNDS: usize = 9;
/// Places of patterns have 16 bits.
const PATTERN_END_MAX: usize = 1 << 16;

/// What is tuned by measurement.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Rows further apart are not in one group.
    pub distance_max: u32,
    /// A group must occur so often to become an entry.
    pub uses_min: u32,
    /// Bits of a row which say where it is in its window.
    pub delta_bits: u32,
}

/// Rows that follow each other closely.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// The first.
    row: u32,
    /// What its rules and distances are.
    kind: u32,
}

/// Rules and distances that groups have in common.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// Where they were met first.
    row: u32,
    rows: u32,
    uses: u32,
}

/// All kinds.
struct Kinds<'r> {
    rows: &'r Rows,
    kinds: Vec<Kind>,
    /// Hash of a kind → its index.
    known: HashMap<u64, u32, FixedState>,
}

impl<'r> Kinds<'r> {
    fn new(rows: &'r Rows) -> Self {
        Self { rows, kinds: Vec::new(), known: HashMap::default() }
    }

    /// The rules of `count` rows from `row` on, each with its distance to the next but for the last.
    fn sequence(&self, row: u32, count: u32) -> impl Iterator<Item = u32> {
        let range = row as usize..(row + count) as usize;
        let offsets = self.rows.offsets.get(range.clone()).unwrap_or_default();
        let codes = self.rows.codes.get(range).unwrap_or_default();
        let next = offsets.iter().skip(1).map(Some).chain([None]);
        offsets.iter().zip(next).zip(codes).map(|((at, next), code)| {
            let distance = next.map_or(0, |next| next - at);
            distance << 16 | u32::from(*code)
        })
    }

    fn hash(&self, row: u32, count: u32) -> u64 {
        let seed = u64::from(count);
        self.sequence(row, count).fold(seed, |hash, step| {
            (hash.rotate_left(23) ^ u64::from(step)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
    }

    fn find(&self, row: u32, count: u32) -> Result<u32, u64> {
        let mut hash = self.hash(row, count);
        // Hostile rows may collide; then a kind is met twice, which is correct, only larger.
        for _ in 0..4 {
            let Some(index) = self.known.get(&hash) else { return Err(hash) };
            let kind = self.kinds[*index as usize];
            if kind.rows == count && self.sequence(kind.row, count).eq(self.sequence(row, count)) {
                return Ok(*index);
            }
            hash = hash.wrapping_add(1);
        }
        Err(hash)
    }

    /// Notes a group of these rows.
    fn add(&mut self, row: u32, rows: u32) -> Group {
        let kind = self.find(row, rows).unwrap_or_else(|hash| {
            let index = self.kinds.len() as u32;
            self.kinds.push(Kind { row, rows, uses: 0 });
            self.known.insert(hash, index);
            index
        });
        self.kinds[kind as usize].uses += 1;
        Group { row, kind }
    }

    /// Where to cut a group in two: before the row that holds in the end if the rest recurs, else at the
    /// largest distance.
    fn cut(&self, row: u32, rows: u32, uses_min: u32) -> u32 {
        let prefix = self.find(row, rows - 1);
        if prefix.is_ok_and(|kind| self.kinds[kind as usize].uses >= uses_min) || rows == 2 {
            return rows - 1;
        }
        let distances = self.sequence(row, rows).take(rows as usize - 1).map(|step| step >> 16);
        // Of equal ones the last: what comes first is a prologue, which recurs.
        distances.zip(1..).max().map_or(1, |(_, at)| at)
    }
}

/// Cuts rows into groups: at functions, at the ends of windows, and where rows are far apart.
fn groups(kinds: &mut Kinds<'_>, tuning: &Tuning) -> Vec<Group> {
    let rows = kinds.rows;
    let (offsets, codes) = (&rows.offsets, &rows.codes);
    let mut functions = rows.functions.iter().map(|function| function.start).peekable();
    let mut groups: Vec<Group> = Vec::with_capacity(offsets.len() / 3);
    let mut first = 0;
    let mut before = None;
    for index in 0..offsets.len() {
        let next = index + 1;
        let goes_on = offsets.get(next).is_some_and(|at| {
            while functions.next_if(|start| start < at).is_some() {}
            functions.peek() != Some(at)
                && at - offsets[index] <= tuning.distance_max
                && at >> tuning.delta_bits == offsets[first] >> tuning.delta_bits
                && next - first <= STEPS_MAX
        });
        if goes_on {
            continue;
        }
        // A function's first row may repeat what holds anyway.
        if index > first || before != Some(codes[index]) {
            groups.push(kinds.add(first as u32, (next - first) as u32));
        }
        before = Some(codes[index]);
        first = next;
    }
    groups
}

/// Cuts groups that do not occur often enough, until all that are left do or are single rows.
fn settle(kinds: &mut Kinds<'_>, mut groups: Vec<Group>, uses_min: u32) -> Vec<Group> {
    for _ in 0..ROUNDS {
        let is_rare = |kinds: &Kinds<'_>, group: &Group| {
            let kind = kinds.kinds[group.kind as usize];
            kind.uses < uses_min && kind.rows > 1
        };
        if !groups.iter().any(|group| is_rare(kinds, group)) {
            break;
        }
        let mut parts = Vec::with_capacity(groups.len() + groups.len() / 4);
        // Uses are taken back at the end, so that all groups of a kind are treated alike.
        let mut gone = Vec::new();
        for group in groups {
            if !is_rare(kinds, &group) {
                parts.push(group);
                continue;
            }
            let rows = kinds.kinds[group.kind as usize].rows;
            let cut = kinds.cut(group.row, rows, uses_min);
            gone.push(group.kind);
            parts.push(kinds.add(group.row, cut));
            parts.push(kinds.add(group.row + cut, rows - cut));
        }
        for kind in gone {
            kinds.kinds[kind as usize].uses -= 1;
        }
        groups = parts;
    }
    groups
}

/// Which groups a leaf holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaf {
    first: usize,
    end: usize,
    window: u32,
    windows: u32,
}

impl Leaf {
    fn words(&self) -> usize {
        let halves = self.windows as usize + 1 + (self.end - self.first);
        LEAF_WORDS + (2 * halves + (self.end - self.first)).div_ceil(4)
    }
}

fn leaves(rows: &Rows, groups: &[Group], delta_bits: u32) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let window = rows.offsets[group.row as usize] >> delta_bits;
        if let Some(leaf) = leaves.last_mut() {
            let windows = window - leaf.window + 1;
            let bytes = LEAF_BYTES + 2 * windows as usize + ROW_BYTES * (index + 1 - leaf.first);
            if windows <= WINDOWS_MAX && bytes <= PAGE_BYTES {
                (leaf.end, leaf.windows) = (index + 1, windows);
                continue;
            }
        }
        leaves.push(Leaf { first: index, end: index + 1, window, windows: 1 });
    }
    leaves
}

/// The dictionary's words, from its first place in the root on.
struct Dictionary {
    /// The root's words before it; then all pages' words, stamps included.
    words: Vec<u32>,
    /// Kind → number of its entry.
    numbers: HashMap<u32, u32, FixedState>,
    entries_at: usize,
    entries: usize,
    used: usize,
}

impl Dictionary {
    /// Places `count` words so that they do not cross a page's end; returns where they begin.
    fn reserve(&mut self, count: usize) -> usize {
        let left = PAGE_WORDS - self.words.len() % PAGE_WORDS;
        if left < count {
            self.words.resize(self.words.len() + left, 0);
        }
        if self.words.len().is_multiple_of(PAGE_WORDS) {
            self.words.push(0);
        }
        self.words.len()
    }

    fn push(&mut self, words: &[u32]) -> usize {
        let at = self.reserve(words.len());
        self.words.extend(words);
        self.used += words.len();
        at
    }

    /// Lays out wide rules, patterns and entries behind `start` words; none if they do not fit.
    fn new(kinds: &Kinds<'_>, start: usize) -> Option<Self> {
        let (words, numbers) = (vec![0; start], HashMap::default());
        let mut dictionary = Self { words, numbers, entries_at: 0, entries: 0, used: 0 };
        let rows = kinds.rows;
        let wide: Vec<usize> = rows.wide.iter().map(|rule| dictionary.push(&rule.wide())).collect();
        if dictionary.words.len() > usize::from(WIDE) {
            return None;
        }
        let rule = |code: u16| {
            let index = usize::from((code & !WIDE).wrapping_sub(WIDE_MIN));
            match wide.get(index) {
                Some(place) if code >= WIDE | WIDE_MIN => WIDE | *place as u16,
                _ => code,
            }
        };
        let mut used: Vec<u32> = (0..kinds.kinds.len() as u32).collect();
        used.retain(|kind| kinds.kinds[*kind as usize].uses > 0);
        // Frequent entries share cache lines.
        used.sort_by_key(|kind| std::cmp::Reverse(kinds.kinds[*kind as usize].uses));
        let mut patterns: HashMap<Vec<u32>, usize, FixedState> = HashMap::default();
        let mut entries = Vec::with_capacity(used.len());
        for kind in &used {
            let Kind { row, rows, .. } = kinds.kinds[*kind as usize];
            let mut pattern = vec![rows - 1];
            let (mut end, mut last) = (0, 0);
            for (index, step) in (0..rows).zip(kinds.sequence(row, rows)) {
                last = u32::from(rule(step as u16));
                end += step >> 16;
                if index + 1 < rows {
                    pattern.push(last << 16 | end);
                }
            }
            let place = match patterns.get(&pattern) {
                _ if rows == 1 => 0,
                Some(place) => *place,
                None => {
                    let place = dictionary.push(&pattern);
                    patterns.insert(pattern, place);
                    place
                }
            };
            entries.push((place as u32) << 16 | last);
        }
        if dictionary.words.len() >= PATTERN_END_MAX {
            return None;
        }
        dictionary.entries_at = dictionary.reserve(1);
        for (kind, entry) in used.into_iter().zip(entries) {
            let at = dictionary.push(&[entry]);
            dictionary.numbers.insert(kind, (at - dictionary.entries_at) as u32);
        }
        dictionary.entries = dictionary.numbers.len();
        Some(dictionary)
    }
}

/// Packs rows into pages.
///
/// Beyond the pages, this takes about 12 bytes of memory for each group of rows.
///
/// # Errors
///
/// [`Error::Absent`] if there is no row; [`Error::TooLarge`] if there are more different rules than a
/// table can tell apart.
pub fn encode(rows: &Rows) -> Result<Table, Error> {
    encode_tuned(rows, &Tuning { distance_max: 48, uses_min: 4, delta_bits: 12 })
}

/// [`encode`] with other bounds.
#[doc(hidden)]
pub fn encode_tuned(rows: &Rows, tuning: &Tuning) -> Result<Table, Error> {
    if rows.is_empty() {
        return Err(Error::Absent);
    }
    let mut tuning = *tuning;
    while tuning.delta_bits >= 8 {
        let mut kinds = Kinds::new(rows);
        let mut groups = groups(&mut kinds, &tuning);
        let mut uses_min = tuning.uses_min;
        let entries_max = 1usize << (24 - tuning.delta_bits);
        for _ in 0..16 {
            groups = settle(&mut kinds, groups, uses_min);
            if let Some(table) = lay_out(&kinds, &groups, &tuning, entries_max) {
                return Ok(table);
            }
            uses_min = uses_min.saturating_mul(2);
        }
        tuning.delta_bits -= 1;
    }
    Err(Error::TooLarge { what: "rules", count: rows.wide.len(), limit: 1 << 15 })
}

/// The table, if its entries are not too many.
fn lay_out(kinds: &Kinds<'_>, groups: &[Group], tuning: &Tuning, entries_max: usize) -> Option<Table> {
    let used = kinds.kinds.iter().filter(|kind| kind.uses > 0).count();
    // Every page of the dictionary costs a number, its stamp's.
    if used + used / (PAGE_WORDS - 1) + 2 > entries_max {
        return None;
    }
    let rows = kinds.rows;
    let leaves = leaves(rows, groups, tuning.delta_bits);
    if let [leaf] = leaves[..]
        && let Some(table) = one_page(kinds, groups, leaf, tuning)
    {
        return Some(table);
    }
    many_pages(kinds, groups, &leaves, tuning)
}

fn table(kinds: &Kinds<'_>, groups: &[Group], dictionary: &Dictionary, tuning: &Tuning) -> Table {
    let statistics = Statistics {
        rows: kinds.rows.len(),
        packed_rows: groups.len(),
        leaves: 0,
        entries: dictionary.entries,
        dictionary_words: dictionary.used,
        delta_bits: tuning.delta_bits,
    };
    Table { arch: kinds.rows.arch, pages: Vec::new(), references: Vec::new(), levels: 0, statistics }
}

fn to_pages(words: &[u32]) -> impl Iterator<Item = Page> {
    words.chunks(PAGE_WORDS).map(|words| {
        let mut page = [0; PAGE_BYTES];
        for (at, word) in words.iter().enumerate() {
            pages::set_word(&mut page, at, *word);
        }
        page
    })
}

/// Root, leaf and dictionary in one page, if they fit.
fn one_page(kinds: &Kinds<'_>, groups: &[Group], leaf: Leaf, tuning: &Tuning) -> Option<Table> {
    let keys_at = ROOT_WORDS;
    let leaf_at = keys_at + 1;
    let start = leaf_at + leaf.words();
    let mut dictionary = Dictionary::new(kinds, start).filter(|all| all.words.len() <= PAGE_WORDS)?;
    dictionary.words[1] = tuning.delta_bits << 8 | 1 << 16;
    dictionary.words[2] = keys_at as u32;
    dictionary.words[3] = dictionary.entries_at as u32;
    dictionary.words[4] = leaf_at as u32;
    dictionary.words[keys_at] = kinds.rows.offsets[groups[leaf.first].row as usize];
    let mut table = table(kinds, groups, &dictionary, tuning);
    table.pages.extend(to_pages(&dictionary.words));
    write_leaf(&mut table.pages[0], leaf_at, leaf, kinds.rows, groups, &dictionary, tuning.delta_bits);
    Some(table)
}

/// A root, pages of the dictionary, leaves, and if there are many, inner pages.
fn many_pages(kinds: &Kinds<'_>, groups: &[Group], leaves: &[Leaf], tuning: &Tuning) -> Option<Table> {
    let rows = kinds.rows;
    let key = |leaf: &Leaf| rows.offsets[groups[leaf.first].row as usize];
    // Room for the ids of dictionary pages, by an upper bound of its words.
    let words_max = rows.wide.len() * WIDE_WORDS
        + kinds.kinds.iter().filter(|kind| kind.uses > 0).map(|kind| kind.rows as usize + 1).sum::<usize>();
    let ids = words_max / (PAGE_WORDS - STEPS_MAX - 2) + 2;
    let room = PAGE_WORDS.checked_sub(ROOT_WORDS + ids)? / 2;
    let is_deep = leaves.len() > room.min(KEYS_MAX);
    let keys = if is_deep { leaves.len().div_ceil(KEYS_MAX) } else { leaves.len() };
    if keys > room.min(KEYS_MAX) {
        return None;
    }
    let ids_at = ROOT_WORDS;
    let keys_at = ids_at + ids;
    let mut dictionary = Dictionary::new(kinds, keys_at + 2 * keys)?;
    let more = dictionary.words.len().div_ceil(PAGE_WORDS) - 1;
    let mut table = table(kinds, groups, &dictionary, tuning);
    (table.levels, table.statistics.leaves) = (if is_deep { 2 } else { 1 }, leaves.len());
    let words = &mut dictionary.words;
    words[1] = table.levels | tuning.delta_bits << 8 | (keys as u32) << 16;
    words[2] = keys_at as u32 | (ids_at as u32) << 16;
    words[3] = dictionary.entries_at as u32 | (more as u32) << 16;
    for (index, id) in (1..=more).enumerate() {
        words[ids_at + index] = id as u32;
    }
    table.references.push((0, ids_at as u32, more as u32));
    table.references.push((0, (keys_at + keys) as u32, keys as u32));
    let below = 1 + more;
    let first_leaf = if is_deep { below + keys } else { below };
    let step = if is_deep { KEYS_MAX } else { 1 };
    for (index, leaf) in leaves.iter().step_by(step).enumerate() {
        words[keys_at + index] = key(leaf);
        words[keys_at + keys + index] = (below + index) as u32;
    }
    table.pages.reserve_exact(first_leaf + leaves.len());
    table.pages.extend(to_pages(words));
    if is_deep {
        for (index, part) in leaves.chunks(KEYS_MAX).enumerate() {
            let mut page = [0; PAGE_BYTES];
            pages::set_word(&mut page, 1, part.len() as u32);
            for (at, leaf) in part.iter().enumerate() {
                pages::set_word(&mut page, 2 + at, key(leaf));
                let id = first_leaf + index * KEYS_MAX + at;
                pages::set_word(&mut page, 2 + part.len() + at, id as u32);
            }
            let number = table.pages.len() as u32;
            table.references.push((number, 2 + part.len() as u32, part.len() as u32));
            table.pages.push(page);
        }
    }
    for leaf in leaves {
        let mut page = [0; PAGE_BYTES];
        write_leaf(&mut page, 1, *leaf, rows, groups, &dictionary, tuning.delta_bits);
        table.pages.push(page);
    }
    Some(table)
}

fn write_leaf(
    page: &mut Page,
    at: usize,
    leaf: Leaf,
    rows: &Rows,
    groups: &[Group],
    dictionary: &Dictionary,
    delta_bits: u32,
) {
    let groups = &groups[leaf.first..leaf.end];
    let windows_at = 2 * (at + LEAF_WORDS);
    let rows_at = windows_at + leaf.windows as usize + 1;
    let lows_at = 2 * (rows_at + groups.len());
    pages::set_word(page, at, leaf.window);
    pages::set_word(page, at + 1, leaf.windows);
    pages::set_word(page, at + 2, rows_at as u32 | (windows_at as u32) << 16);
    pages::set_word(page, at + 3, lows_at as u32);
    let mut window = 0;
    for (index, group) in groups.iter().enumerate() {
        let offset = rows.offsets[group.row as usize];
        while window < (offset >> delta_bits) - leaf.window {
            window += 1;
            pages::set_half(page, windows_at + window as usize, index as u16);
        }
        let delta = offset & ((1 << delta_bits) - 1);
        let number = dictionary.numbers.get(&group.kind).copied().unwrap_or(0);
        let upper = delta << (16 - delta_bits) | number >> 8;
        pages::set_half(page, rows_at + index, upper as u16);
        page[lows_at + index] = number as u8;
    }
    pages::set_half(page, windows_at + leaf.windows as usize, groups.len() as u16);
}
