//! Names of symbols, compressed: sorted, in blocks of 16, each name as what differs from the one
//! before it.
//!
//! Mangled names of one program begin alike, so this takes 40 % (Rust) to 60 % (C) of the plain
//! bytes; reading one name decodes at most a block, well under a microsecond.
//!
//! ```text
//! block: name 0 │ name 1 │ … │ name 15        name: shared length │ rest length │ rest
//! ```
//!
//! Lengths are LEB128; the shared length of a block's first name is 0.

/// Names per block: more compress better and take longer to read.
const BLOCK_NAMES: usize = 16;

/// A sorted set of names, each known by its rank.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Where each block begins in `bytes`.
    blocks: Box<[u32]>,
    bytes: Box<[u8]>,
}

impl Names {
    /// Compresses names in any order; also says the rank of each. None if there are more than
    /// `u32` can count, or they take more than 4 GiB.
    pub(crate) fn rank(names: &[&[u8]]) -> Option<(Self, Vec<u32>)> {
        let mut order: Vec<u32> = (0..u32::try_from(names.len()).ok()?).collect();
        order.sort_unstable_by_key(|index| names[*index as usize]);
        let mut ranks = vec![0; names.len()];
        let mut distinct: Vec<&[u8]> = Vec::with_capacity(names.len());
        for index in order {
            let name = names[index as usize];
            if distinct.last() != Some(&name) {
                distinct.push(name);
            }
            // Fits, as the number of names does.
            ranks[index as usize] = distinct.len() as u32 - 1;
        }
        Some((Self::compress(distinct.into_iter())?, ranks))
    }

    /// Compresses names, which are ascending and distinct. None if they take more than 4 GiB.
    fn compress<'a>(names: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut blocks = Vec::new();
        let mut bytes = Vec::new();
        let mut previous: &[u8] = &[];
        for (rank, name) in names.enumerate() {
            if rank % BLOCK_NAMES == 0 {
                blocks.push(u32::try_from(bytes.len()).ok()?);
                previous = &[];
            }
            let shared = name.iter().zip(previous).take_while(|(a, b)| a == b).count();
            write_length(&mut bytes, shared);
            write_length(&mut bytes, name.len() - shared);
            bytes.extend(&name[shared..]);
            previous = name;
        }
        Some(Self { blocks: blocks.into(), bytes: bytes.into() })
    }

    /// The name of this rank; empty if there is none.
    pub(crate) fn get(&self, rank: u32) -> String {
        let mut name = Vec::new();
        // Only this module writes the bytes, so decoding cannot fail short of a bug.
        let _ = self.decode(rank, &mut name);
        String::from_utf8(name).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    fn decode(&self, rank: u32, name: &mut Vec<u8>) -> Option<()> {
        let rank = usize::try_from(rank).ok()?;
        let start = *self.blocks.get(rank / BLOCK_NAMES)?;
        let mut rest = self.bytes.get(usize::try_from(start).ok()?..)?;
        for _ in 0..=rank % BLOCK_NAMES {
            let shared = read_length(&mut rest)?;
            let length = read_length(&mut rest)?;
            name.truncate(shared);
            name.extend(rest.split_off(..length)?);
        }
        Some(())
    }

    /// Bytes of memory held outside the struct.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val::<[u32]>(&self.blocks) + self.bytes.len()
    }
}

fn write_length(bytes: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

fn read_length(bytes: &mut &[u8]) -> Option<usize> {
    let mut length = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = *bytes.split_off_first()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_it_was() {
        let mut names: Vec<Vec<u8>> = (0..1000)
            .map(|i| format!("_ZN{}name{}", "x".repeat(i % 300), i * 7919 % 1000).into_bytes())
            .collect();
        names.extend([b"".to_vec(), b"\xff\xfe".to_vec(), "é".into(), "è".into()]);
        names.sort();
        names.dedup();
        let compressed = Names::compress(names.iter().map(Vec::as_slice)).unwrap();
        for (rank, name) in names.iter().enumerate() {
            assert_eq!(compressed.get(rank as u32), String::from_utf8_lossy(name), "{rank}");
        }
        assert_eq!(compressed.get(names.len() as u32 + 16), "");
        assert_eq!(compressed.get(u32::MAX), "");
        let plain: usize = names.iter().map(Vec::len).sum();
        assert!(compressed.memory_bytes() < plain / 2, "{} of {plain}", compressed.memory_bytes());
    }

    #[test]
    fn equal_names_have_one_rank() {
        let (names, ranks) = Names::rank(&[b"b", b"a", b"b", b"c"]).unwrap();
        assert_eq!(ranks, [1, 0, 1, 2]);
        assert_eq!([0, 1, 2].map(|rank| names.get(rank)), ["a", "b", "c"]);
    }

    #[test]
    fn no_names_take_no_memory() {
        let empty = Names::compress(std::iter::empty()).unwrap();
        assert_eq!((empty.get(0), empty.memory_bytes()), (String::new(), 0));
    }
}
