//! Which device and precision tensors have, and what happens when libtorch fails.
//!
//! The binary is linked against libtorch's CPU libraries only. CUDA is opened at run time if it is
//! found, before the first tensor is made, so that one binary serves machines with and without a
//! GPU. What only needs the names of results never opens it: these depend on the [`Hardware`].

mod choice;
mod cuda;
mod gpu_memory;

use std::path::{Path, PathBuf};

use tch::{Device, Kind as Number, Tensor};

use crate::cores;
use crate::error::{Context, Error, Kind, Result};
use crate::memory;
use crate::panics::caught;
use crate::settings::{choice, from, settings, whole};

pub use choice::{DeviceChoice, Hardware};
pub(crate) use cuda::which;
pub use cuda::{gpus, resolve, seems_usable};
pub use gpu_memory::{GpuMemory, gpu_memory};

settings! {
    /// What it runs on.
    DeviceSettings: Copy {
        /// Where tensors live.
        kind: DeviceChoice = DeviceChoice::Auto, DeviceChoice::WANT, ByContent;
        /// Cores to use, for decoding, hashing, SQL and computing; 0: all that the machine gives
        /// (its quota, its affinity). Results are the same to the bit whatever the number.
        threads: usize = 0, whole(0, 1_024), Nothing;
        /// Memory for large tables of numbers and SQL together, in GB; 0: half of what the machine
        /// gives (all of its memory, or its control group's limit). Larger tables lie in files of
        /// the store's disk while a run needs them. Results are the same to the bit whatever the
        /// number.
        memory: f64 = 0.0, from(0.0, 1e6), Nothing;
    }
}

choice! {
    /// Which number type the user asked for.
    PrecisionChoice {
        /// bf16 on a GPU, and for towers of 256 and wider on a CPU that multiplies it in hardware;
        /// fp32 elsewhere.
        Auto = "auto",
        /// 32-bit floating point.
        Fp32 = "fp32",
        /// 16-bit brain floating point; normalisations stay in 32 bits.
        Bf16 = "bf16",
    }
}

impl DeviceSettings {
    /// Bounds the cores and the memory that this process uses from now on.
    pub fn set_limits(&self) {
        cores::set_limit(self.threads);
        let bytes = (self.memory * 1e9) as u64;
        memory::set_limit(if self.memory > 0.0 { bytes.max(1) } else { 0 });
    }
}

impl From<Precision> for PrecisionChoice {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Fp32 => PrecisionChoice::Fp32,
            Precision::Bf16 => PrecisionChoice::Bf16,
        }
    }
}

impl PrecisionChoice {
    /// Returns the precision that was asked for or, with `auto`, the faster one for a vision tower
    /// of this width.
    pub fn resolve(self, hardware: Hardware, width: i64) -> Precision {
        match self {
            PrecisionChoice::Auto => Precision::faster(hardware, width),
            PrecisionChoice::Fp32 => Precision::Fp32,
            PrecisionChoice::Bf16 => Precision::Bf16,
        }
    }

    /// Returns the precision that was asked for or, with `auto`, that of a text tower: bf16 on a
    /// GPU alone. A CPU would take little more than half of the time in bf16, but sentences are
    /// few, each is embedded once, and every answer is a comparison with them.
    pub fn of_text(self, hardware: Hardware) -> Precision {
        match (self, hardware) {
            (PrecisionChoice::Auto, Hardware::Cpu) | (PrecisionChoice::Fp32, _) => Precision::Fp32,
            (PrecisionChoice::Auto | PrecisionChoice::Bf16, _) => Precision::Bf16,
        }
    }
}

/// The number type of a frozen tower's forward pass. It is part of a space, since features of
/// another precision are different features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32-bit floats everywhere.
    #[default]
    Fp32,
    /// bfloat16 weights and activations; features are still stored as 32-bit floats.
    Bf16,
}

impl Precision {
    /// Returns the number type of tensors in this precision.
    pub fn number(self) -> Number {
        match self {
            Precision::Fp32 => Number::Float,
            Precision::Bf16 => Number::BFloat16,
        }
    }

    /// Returns the faster precision for a frozen tower of this width: bf16 on a GPU, and on a CPU
    /// that multiplies it in hardware, unless the tower is so narrow that its small products gain
    /// less than the conversions cost.
    pub fn faster(hardware: Hardware, width: i64) -> Precision {
        let bf16 = match hardware {
            Hardware::Cpu => width >= BF16_WIDTH && cpu_multiplies_bf16(),
            Hardware::Gpu => true,
        };
        if bf16 { Precision::Bf16 } else { Precision::Fp32 }
    }

    /// Returns its name in a pipeline file and in a space.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::Fp32 => "fp32",
            Precision::Bf16 => "bf16",
        }
    }
}

/// The smallest width of a tower that a CPU runs faster in bf16.
const BF16_WIDTH: i64 = 256;

/// Returns whether the CPU has instructions for bf16 products; every CPU with AMX has these too.
pub(crate) fn cpu_multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Returns the folder of the libtorch that this process runs on.
///
/// # Errors
/// Fails if the operating system does not say which files are mapped, or none of them is
/// libtorch's.
pub fn libtorch() -> std::result::Result<PathBuf, String> {
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|e| format!("cannot read /proc/self/maps: {e}"))?;
    let mut mapped = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    let cpu = mapped.find(|path| path.file_name().is_some_and(|name| name == "libtorch_cpu.so"));
    let folder = cpu.and_then(Path::parent).map(Path::to_path_buf);
    folder.ok_or_else(|| "no libtorch_cpu.so is mapped".to_owned())
}

/// Returns the CPU's instruction sets that speed up computing, of those that this program knows.
pub fn cpu_instructions() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        let known = [
            ("avx2", has!("avx2")),
            ("fma", has!("fma")),
            ("avx512f", has!("avx512f")),
            ("avx512vnni", has!("avx512vnni")),
            ("avx512_bf16", cpu_multiplies_bf16()),
        ];
        known.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        Vec::new()
    }
}

/// Makes libtorch prefer flash attention to cuDNN's on GPUs where it would choose cuDNN's, unless
/// the user's environment decides. cuDNN compiles a kernel for every new shape, one to two seconds
/// in each process, and is no faster over the few tokens of a picture.
///
/// Must be called before there is a second thread.
#[allow(unsafe_code)]
pub fn prefer_flash_attention() {
    const VARIABLE: &str = "TORCH_CUDNN_SDPA_DEPRIORITIZED";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: this is the only thread, so nothing else reads the environment.
        unsafe { std::env::set_var(VARIABLE, "1") };
    }
}

/// Brings a tensor to `device`. From the CPU to a GPU it goes through pinned memory: the copy is
/// queued like any kernel, and this thread goes on.
///
/// # Errors
/// Returns [`Kind::Torch`] if libtorch fails, which includes running out of memory.
pub fn upload(tensor: &Tensor, device: Device) -> Result<Tensor> {
    let uploaded = match (tensor.device(), device) {
        // `pin_memory` itself would warn about the device argument, which tch always passes.
        (Device::Cpu, Device::Cuda(_)) => tensor
            .f_internal_pin_memory(device)
            .and_then(|pinned| pinned.f_to_device_(device, tensor.kind(), true, false)),
        _ => tensor.f_to_device(device),
    };
    uploaded.context(Kind::Torch, || "cannot bring a tensor to the device".to_owned())
}

/// Runs work on tensors, turning libtorch's C++ exceptions into errors.
///
/// tch's operators panic when libtorch throws (out of memory, a device lost). Shapes are checked
/// before, so such a panic comes from the machine, and the user needs a message, not a back-trace.
///
/// # Errors
/// Returns [`Kind::Torch`] with libtorch's first line, or the error of `work`.
pub fn guarded<T>(doing: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    cores::one_thread_a_kernel();
    caught(work).unwrap_or_else(|message| {
        let line = message.lines().next().unwrap_or(&message);
        let error = Error::new(Kind::Torch, format!("{doing}: {line}"));
        Err(if message.contains("out of memory") || message.contains("DefaultCPUAllocator") {
            error.hint("a smaller embed.batch or adapt.batch needs less memory")
        } else {
            error
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_for_gpus_and_for_wide_towers_on_a_cpu_that_has_it() {
        assert_eq!(Precision::faster(Hardware::Gpu, 128), Precision::Bf16);
        assert_eq!(Precision::faster(Hardware::Cpu, 128), Precision::Fp32);
        let wide = if cpu_multiplies_bf16() { Precision::Bf16 } else { Precision::Fp32 };
        assert_eq!(Precision::faster(Hardware::Cpu, 768), wide);
    }

    #[test]
    fn sentences_stay_in_fp32_on_a_cpu_unless_bf16_is_asked_for() {
        let of = |choice: PrecisionChoice| [Hardware::Cpu, Hardware::Gpu].map(|hardware| choice.of_text(hardware));
        assert_eq!(of(PrecisionChoice::Auto), [Precision::Fp32, Precision::Bf16]);
        assert_eq!(of(PrecisionChoice::Bf16), [Precision::Bf16; 2]);
        assert_eq!(of(PrecisionChoice::Fp32), [Precision::Fp32; 2]);
    }
}
