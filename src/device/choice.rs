//! Which device the user asked for, and which hardware that is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::settings::{Choices, Want};

use super::cuda;

/// Which device the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU where there seems to be one ([`cuda::seems_usable`]), the CPU elsewhere.
    Auto,
    /// The CPU.
    Cpu,
    /// The first GPU.
    Cuda,
    /// The GPU with this number, from 0.
    Numbered(usize),
}

/// What computes. Runs of a GPU are others than those of a CPU, and so are features where it
/// decides in which precision they are computed; of which GPU does not matter, so names depend on
/// this alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hardware {
    /// A CPU.
    Cpu,
    /// A CUDA GPU.
    Gpu,
}

/// What stands before the number of a GPU.
const NUMBERED: &str = "cuda:";

const NAMES: &[&str] = &["auto", "cpu", "cuda", "cuda:N"];

const ABOUTS: &[&str] = &[
    "The first CUDA GPU where there is one, the CPU elsewhere.",
    "The CPU.",
    "The first CUDA GPU; an error where there is none.",
    "The CUDA GPU with that number, from 0: `cuda:1` is the second. Results are kept under the same names whichever GPU \
     computes them.",
];

impl DeviceChoice {
    /// What a pipeline file may say.
    pub const WANT: Want = Want::Choice(Choices::new(NAMES, ABOUTS));

    /// Returns the hardware that this asks for, without opening CUDA. The names of results depend
    /// on it, so what computes follows the same rule: where it says GPU and CUDA cannot be used,
    /// [`resolve`](super::resolve) fails rather than compute on the CPU under other names.
    pub fn hardware(self) -> Hardware {
        match self {
            DeviceChoice::Cpu => Hardware::Cpu,
            DeviceChoice::Cuda | DeviceChoice::Numbered(_) => Hardware::Gpu,
            DeviceChoice::Auto if cuda::seems_usable().is_ok() => Hardware::Gpu,
            DeviceChoice::Auto => Hardware::Cpu,
        }
    }

    /// Returns the same hardware, whichever GPU that is.
    pub fn unnumbered(self) -> Self {
        match self {
            DeviceChoice::Numbered(_) => DeviceChoice::Cuda,
            other => other,
        }
    }
}

impl Hardware {
    /// Returns its name in the id of a run.
    pub fn as_str(self) -> &'static str {
        match self {
            Hardware::Cpu => "cpu",
            Hardware::Gpu => "cuda",
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda => f.write_str("cuda"),
            DeviceChoice::Numbered(number) => write!(f, "{NUMBERED}{number}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Want::Choice(choices) = Self::WANT else { return Err(text.to_owned()) };
        let number = text.strip_prefix(NUMBERED).and_then(|number| number.parse().ok());
        match (text, number) {
            ("auto", _) => Ok(DeviceChoice::Auto),
            ("cpu", _) => Ok(DeviceChoice::Cpu),
            ("cuda", _) => Ok(DeviceChoice::Cuda),
            (_, Some(number)) if choices.have(text) => Ok(DeviceChoice::Numbered(number)),
            _ => Err(Self::WANT.describe()),
        }
    }
}

impl Serialize for DeviceChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_it_is_written() {
        for (text, choice) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda", DeviceChoice::Cuda),
            ("cuda:0", DeviceChoice::Numbered(0)),
            ("cuda:17", DeviceChoice::Numbered(17)),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
        }
        for bad in ["", "cuda:", "cuda:N", "cuda:-1", "cuda:+1", "cuda:01", "cuda:1 ", "CUDA", "gpu", "cuda1"] {
            assert_eq!(bad.parse::<DeviceChoice>(), Err("one of auto, cpu, cuda, cuda:N".to_owned()), "{bad}");
        }
        assert!(format!("cuda:{}0", u64::MAX).parse::<DeviceChoice>().is_err());
    }

    #[test]
    fn what_names_depend_on_is_the_same_for_all_gpus() {
        let hardware = ["cuda", "cuda:0", "cuda:5", "cpu"].map(|text| text.parse::<DeviceChoice>().unwrap().hardware());
        assert_eq!(hardware, [Hardware::Gpu, Hardware::Gpu, Hardware::Gpu, Hardware::Cpu]);
    }
}
