//! Unwind pages: rows packed for the kernel, and looked up in.
//!
//! A file's table is a number of pages of 4096 bytes, all its own. Numbers are little-endian; a *word*
//! has 32 bits. The first word of each page is the table's stamp, which tells a page that was given to
//! another file from the one that is looked for.
//!
//! ```text
//! offset ─▶ keys of the root ─▶ (inner page ─▶) leaf ─▶ entry ─▶ pattern ─▶ rule
//! ```
//!
//! **Leaf.** A row is 24 bits: its distance from the start of its *window* (2^delta bits of the file)
//! and the number of its *entry*. The upper 16 bits and the lower 8 are kept apart. For each window the
//! leaf has the number of rows before it, so that a search is confined to one window.
//!
//! | word of the leaf | |
//! |---|---|
//! | 0 | number of its first window |
//! | 1 | number of windows, unused |
//! | 2 | place of the upper parts of the rows, place of the windows, both in units of 2 bytes |
//! | 3 | place of the lower parts, in bytes |
//!
//! **Dictionary.** Its words are counted from the start of the root page on, through the pages whose ids
//! the root lists. An *entry* is a word: the rule that holds in the end, and the place of a *pattern* of
//! rules which hold before, or 0. A pattern is a word with the number of its steps, at most
//! [`STEPS_MAX`], then a word for each: the distance from the row at which it ends, and its rule. A rule is
//! 16 bits: a common one ([`Rule::compact`]), or the place of one of six words (`struct rule`).
//!
//! **Root.** Word 1: levels, delta bits (8 bits each), number of keys (16). Word 2: place of the keys,
//! place of the ids of dictionary pages. Word 3: place of entry 0, number of dictionary pages. Word 4:
//! place of the leaf if there are no levels. Behind the keys, which are the file offsets of the first
//! rows of the pages below, are the ids of these pages. An inner page has the number of its keys as word
//! 1, then the keys, then the ids. With no levels there is one key.

use crate::rule::{Arch, Rule, WIDE};

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;
/// Words of a page.
pub(crate) const PAGE_WORDS: usize = PAGE_BYTES / 4;
/// Steps of a pattern.
pub const STEPS_MAX: usize = 8;
/// Keys of a page.
pub(crate) const KEYS_MAX: usize = 511;
/// Words of the root page before anything else.
pub(crate) const ROOT_WORDS: usize = 8;

/// A page's bytes.
pub type Page = [u8; PAGE_BYTES];

/// A file's rows as pages, ready to be placed.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) arch: Arch,
    /// The root first; page ids in them are indexes of this vector.
    pub(crate) pages: Vec<Page>,
    /// Where page ids are: page, first word, how many.
    pub(crate) references: Vec<(u32, u32, u32)>,
    pub(crate) levels: u32,
    pub(crate) statistics: Statistics,
}

/// What a table is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Rows which it was made from.
    pub rows: usize,
    /// Rows in leaves; each may stand for several.
    pub packed_rows: usize,
    /// Leaf pages.
    pub leaves: usize,
    /// Entries of the dictionary.
    pub entries: usize,
    /// Words of the dictionary.
    pub dictionary_words: usize,
    /// Bits of a row which say where it is in its window; the other bits are its entry's number.
    pub delta_bits: u32,
}

impl Table {
    /// The pages, the root first. The page ids in them are indexes of this slice.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// How many pages lie between the root and a row: 0, 1 or 2.
    pub fn levels(&self) -> u32 {
        self.levels
    }

    /// What it is made of.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Hands each page, under the id it is to have, to `put`.
    ///
    /// `ids` has an id for each of [`pages`](Self::pages); the first is the root's. The root comes last, so
    /// that a reader which finds it finds all. `stamp` is put into each page.
    pub fn place(&self, stamp: u32, ids: &[u32], mut put: impl FnMut(u32, &Page)) {
        let mut references = self.references.iter().rev().peekable();
        for (number, (page, id)) in self.pages.iter().zip(ids).enumerate().rev() {
            let mut page = *page;
            set_word(&mut page, 0, stamp);
            while let Some((_, first, count)) =
                references.next_if(|(of, ..)| usize::try_from(*of) == Ok(number))
            {
                for at in *first..first + count {
                    let index = word(&page, at) as usize;
                    set_word(&mut page, at as usize, ids.get(index).copied().unwrap_or(0));
                }
            }
            put(*id, &page);
        }
    }

    /// The rule for the instruction at an offset of the file; [`Rule::None`] where there is no row.
    pub fn find(&self, offset: u32) -> Rule {
        let get = |id: u32| self.pages.get(usize::try_from(id).ok()?);
        find(self.arch, get, 0, 0, offset).unwrap_or(Rule::None)
    }
}

/// The number in a word; what lies beyond the page wraps around, as in the kernel.
fn word(page: &Page, at: u32) -> u32 {
    let at = at as usize % PAGE_WORDS * 4;
    u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]])
}

fn half(page: &Page, at: u32) -> u32 {
    let at = at as usize % (PAGE_BYTES / 2) * 2;
    u16::from_le_bytes([page[at], page[at + 1]]).into()
}

pub(crate) fn set_word(page: &mut Page, at: usize, value: u32) {
    page[4 * at..4 * at + 4].copy_from_slice(&value.to_le_bytes());
}

pub(crate) fn set_half(page: &mut Page, at: usize, value: u16) {
    page[2 * at..2 * at + 2].copy_from_slice(&value.to_le_bytes());
}

/// Looks a rule up in placed pages, as `rows_find` of `bpf/rows.h` does.
///
/// `get` gives a page by its id, `root` is the root's, and `stamp` that of the table. None if a page is
/// missing or bears another stamp: the table was evicted.
pub fn find<'p>(
    arch: Arch,
    get: impl Fn(u32) -> Option<&'p Page>,
    root: u32,
    stamp: u32,
    offset: u32,
) -> Option<Rule> {
    let stamped = |id| get(id).filter(|page| word(page, 0) == stamp);
    let root = stamped(root)?;
    let [levels, delta_bits, ..] = word(root, 1).to_le_bytes();
    let (mut keys, mut keys_at) = (word(root, 1) >> 16, word(root, 2) & 0xffff);
    let (mut page, mut leaf) = (root, word(root, 4));
    if offset < word(root, keys_at) {
        return Some(Rule::None);
    }
    for _ in 0..levels.min(2) {
        let above = (0..keys.min(KEYS_MAX as u32)).take_while(|key| word(page, keys_at + key) <= offset);
        let number = above.last().unwrap_or(0);
        page = stamped(word(page, keys_at + keys + number))?;
        (leaf, keys, keys_at) = (1, word(page, 1), 2);
    }
    let dictionary = |at: u32| match at / PAGE_WORDS as u32 {
        0 => Some(root),
        number if number > word(root, 3) >> 16 => None,
        number => stamped(word(root, (word(root, 2) >> 16) + number - 1)),
    };
    let (entry, distance) = find_in_leaf(page, leaf, u32::from(delta_bits & 15), offset);
    let entry = (word(root, 3) & 0xffff) + entry;
    let entry = word(dictionary(entry)?, entry);
    let (mut code, pattern) = (entry & 0xffff, entry >> 16);
    if let Some(distance) = distance
        && pattern != 0
    {
        let page = dictionary(pattern)?;
        let steps = (1..=word(page, pattern).min(STEPS_MAX as u32)).map(|step| word(page, pattern + step));
        code = steps.into_iter().find(|step| step & 0xffff > distance).map_or(code, |step| step >> 16);
    }
    let code = code as u16;
    if let Some(rule) = Rule::from_compact(code, arch) {
        return Some(rule);
    }
    let at = u32::from(code & !WIDE);
    let page = dictionary(at)?;
    Some(Rule::from_wide([0, 1, 2, 3, 4, 5].map(|part| word(page, at + part))).unwrap_or(Rule::Unsupported))
}

/// The entry of the row that covers `offset`, and how far into the row that is; no distance if the row
/// began in another window.
fn find_in_leaf(page: &Page, at: u32, delta_bits: u32, offset: u32) -> (u32, Option<u32>) {
    let (windows, places) = (word(page, at + 1) & 0xffff, word(page, at + 2));
    let (windows_at, rows_at, lows_at) = (places >> 16, places & 0xffff, word(page, at + 3));
    let window = (offset >> delta_bits).wrapping_sub(word(page, at)).min(windows);
    let (first, end) = if window < windows {
        (half(page, windows_at + window), half(page, windows_at + window + 1))
    } else {
        let rows = half(page, windows_at + windows);
        (rows, rows)
    };
    let low_bits = 16u32.saturating_sub(delta_bits);
    let delta = offset & ((1 << delta_bits) - 1);
    let covering = (first..end).take_while(|row| half(page, rows_at + row) >> low_bits <= delta).last();
    let row = covering.unwrap_or(first.wrapping_sub(1));
    let upper = half(page, rows_at.wrapping_add(row));
    let low = page[lows_at.wrapping_add(row) as usize % PAGE_BYTES];
    let entry = u32::from(low) | (upper & ((1 << low_bits) - 1)) << 8;
    (entry, covering.map(|_| delta - (upper >> low_bits)))
}
