//! One of the shards that pictures are dealt into, so that several processes compute them at the
//! same time.

use std::fmt;
use std::str::FromStr;

/// Shard `number` of `of`, written `number/of`.
///
/// Ids are hashes, so equal ranges of ids hold nearly equal numbers of pictures. A picture's shard
/// depends on its id alone, not on the other pictures, on what is computed already or on who is
/// faster; and since pictures are computed and read in the order of their ids, the parts of a shard
/// lie together in that order, as those of a single process do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

impl Shard {
    /// Returns whether the picture of this id is in the shard.
    pub fn has(self, id: &[u8; 32]) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = *id;
        let place = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        (u128::from(place) * u128::from(self.of)) >> 64 == u128::from(self.number - 1)
    }

    /// Returns whether a picture may be in both shards.
    pub fn overlaps(self, other: Shard) -> bool {
        // Shares of other numbers are taken to overlap, which most do.
        self.of != other.of || self.number == other.number
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let parts = text.split_once('/').and_then(|(one, of)| Some((number(one)?, number(of)?)));
        match parts {
            None => Err("write I/N, two whole numbers: 1/8 is the first of eight shards".to_owned()),
            Some((_, 0)) => Err("there is at least one shard: 1/1".to_owned()),
            Some((number, of)) if (1..=of).contains(&number) => Ok(Shard { number, of }),
            Some((_, 1)) => Err("there is one shard, 1/1".to_owned()),
            Some((_, of)) => Err(format!("the shards are 1/{of} to {of}/{of}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_read_as_it_is_written_or_refused_with_what_is_right() {
        for text in ["1/1", "1/2", "2/2", "8/8", "4294967295/4294967295"] {
            assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
        }
        let refused = |text: &str| text.parse::<Shard>().unwrap_err();
        assert_eq!([refused("0/2"), refused("3/2")], ["the shards are 1/2 to 2/2"; 2]);
        assert_eq!(refused("2/1"), "there is one shard, 1/1");
        assert_eq!(refused("1/0"), "there is at least one shard: 1/1");
        for text in ["a/b", "1", "", "/", "1/", "-1/2", "+1/2", "1/2/3", "1 /2", "1/99999999999"] {
            assert!(refused(text).starts_with("write I/N"), "{text}");
        }
    }

    #[test]
    fn every_picture_is_in_one_shard_and_shards_are_alike_in_size() {
        for of in [1, 2, 3, 7, 8, 64] {
            let shards: Vec<Shard> = (1..=of).map(|number| Shard { number, of }).collect();
            let mut sizes = vec![0; of as usize];
            for n in 0..20_000u32 {
                let id = *blake3::hash(&n.to_le_bytes()).as_bytes();
                let having: Vec<usize> = (0..shards.len()).filter(|&at| shards[at].has(&id)).collect();
                assert_eq!(having.len(), 1, "{n} of {of}");
                sizes[having[0]] += 1;
            }
            let even = 20_000.0 / f64::from(of);
            assert!(sizes.iter().all(|&size| (f64::from(size) - even).abs() < 6.0 * even.sqrt()), "{sizes:?}");
        }
        let ends = [[0; 32], [255; 32]];
        assert_eq!(ends.map(|id| Shard { number: 1, of: 3 }.has(&id)), [true, false]);
        assert_eq!(ends.map(|id| Shard { number: 3, of: 3 }.has(&id)), [false, true]);
    }

    #[test]
    fn shards_are_blocks_in_the_order_of_ids() {
        let mut ids: Vec<[u8; 32]> = (0..1_000u32).map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes()).collect();
        ids.sort_unstable();
        let shard_of = |id: &[u8; 32]| (1..=5).find(|&number| Shard { number, of: 5 }.has(id)).unwrap();
        assert!(ids.iter().map(shard_of).is_sorted());
    }
}
