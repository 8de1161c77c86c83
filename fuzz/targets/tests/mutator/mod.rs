//! Inputs near those of a corpus, drawn by a seed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Words that parsers look for.
const WORDS: &[&str] = &[
    "null",
    "true",
    "0",
    "1",
    "-1",
    "1e3",
    "18446744073709551616",
    "\"\"",
    "{}",
    "[]",
    "\\u0000",
    "\\ud800",
    ":",
    ",",
    "\r\n",
    "\n",
    "\r\n\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "GET / HTTP/1.1\r\n",
    " ",
    "/",
    "//",
    "/../",
    "%2f",
    "%2F",
    "%25",
    "%5c",
    "..",
    "*",
    ":id",
    "[id]",
    "\u{e9}",
    "K",
    "$",
    "0.",
    ".5",
    " USDC",
    "USD",
    "eip155:",
    "eip155:84532",
    "eip155:8453",
    "base-sepolia",
    "base",
    "0x",
    "exact",
    "upto",
    "sign",
    "settlement_pending",
    "\"x402Version\":1",
    "\"x402Version\":2",
    "\"amount\":\"10001\"",
    "\"network\":\"base\"",
    "10000",
    "1893456060",
    "1893456000",
    "1893456006",
    "115792089237316195423570985008687907853269984665640564039457584007913129639935",
];

/// An endless supply.
pub(crate) struct Mutator {
    dice: StdRng,
    corpus: Vec<Vec<u8>>,
}

impl Mutator {
    pub(crate) fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        Self { dice: StdRng::seed_from_u64(seed), corpus }
    }

    /// An entry with a few changes; one in four is two entries put together.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut data = self.entry();
        if self.dice.random_ratio(1, 4) {
            let (head, tail) = (self.place(&data), self.entry());
            let from = self.place(&tail);
            data.truncate(head);
            data.extend(&tail[from..]);
        }
        for _ in 0..self.dice.random_range(1..=4) {
            self.change(&mut data);
        }
        data
    }

    fn entry(&mut self) -> Vec<u8> {
        self.corpus[self.dice.random_range(0..self.corpus.len())].clone()
    }

    /// A place between two bytes.
    fn place(&mut self, data: &[u8]) -> usize {
        self.dice.random_range(0..=data.len())
    }

    /// A short stretch.
    fn stretch(&mut self, data: &[u8]) -> std::ops::Range<usize> {
        let begin = self.place(data);
        let longest = (data.len() - begin).min(16);
        begin..begin + self.dice.random_range(0..=longest)
    }

    fn change(&mut self, data: &mut Vec<u8>) {
        match self.dice.random_range(0..7) {
            0 => {
                let at = self.place(data);
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << self.dice.random_range(0..8);
                }
            }
            1 => {
                let at = self.place(data);
                data.insert(at, self.dice.random());
            }
            2 => {
                let stretch = self.stretch(data);
                data.drain(stretch);
            }
            3 => {
                let (stretch, at) = (self.stretch(data), self.place(data));
                let copy = data[stretch].to_vec();
                data.splice(at..at, copy);
            }
            4 | 5 => {
                let word = WORDS[self.dice.random_range(0..WORDS.len())];
                let begin = self.place(data);
                // In place of as much, or in between.
                let length = if self.dice.random() { word.len().min(data.len() - begin) } else { 0 };
                data.splice(begin..begin + length, word.bytes());
            }
            _ => {
                // Another digit where there is one.
                let digits: Vec<usize> = data
                    .iter()
                    .enumerate()
                    .filter(|(_, byte)| byte.is_ascii_digit())
                    .map(|(at, _)| at)
                    .collect();
                if !digits.is_empty() {
                    let at = digits[self.dice.random_range(0..digits.len())];
                    data[at] = b'0' + self.dice.random_range(0..10);
                }
            }
        }
    }
}
