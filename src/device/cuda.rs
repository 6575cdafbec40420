//! Finding and opening CUDA, and choosing a GPU.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tch::Device;

use crate::error::{Error, Kind, Result};

use super::{DeviceChoice, Hardware, libtorch};

/// The variable that says which GPUs CUDA shows to this process.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// The user's choice in the pipeline file, as messages call it.
const KEY: &str = "device.kind";

/// Checks whether there seems to be a GPU that CUDA can use: libtorch's CUDA library is there, and
/// so is a device that this process may open and that `CUDA_VISIBLE_DEVICES` does not hide. Opens
/// nothing. The answer is the same as long as this process lives.
///
/// # Errors
/// Returns what is missing, in words.
pub fn seems_usable() -> std::result::Result<(), String> {
    static STATE: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    STATE.get_or_init(|| seems_usable_in(Path::new("/"), std::env::var_os(VISIBLE).as_deref(), library())).clone()
}

/// Does the work of [`seems_usable`] in a file system that begins at `root`.
fn seems_usable_in(
    root: &Path,
    visible: Option<&OsStr>,
    library: std::result::Result<PathBuf, String>,
) -> std::result::Result<(), String> {
    library?;
    if let Some(visible) = visible.filter(|visible| hides_all(visible)) {
        return Err(format!("{VISIBLE}={} hides every GPU", visible.display()));
    }
    if has_gpu(root) { Ok(()) } else { Err("no GPU is in /dev that this process may open".to_owned()) }
}

/// Returns whether a value of `CUDA_VISIBLE_DEVICES` shows no GPU. CUDA reads it up to the first
/// entry that names none; Slurm writes `NoDevFiles`.
fn hides_all(visible: &OsStr) -> bool {
    let text = visible.to_string_lossy();
    let first = text.split(',').next().unwrap_or_default().trim();
    let numbered = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
    !numbered && !first.starts_with("GPU-") && !first.starts_with("MIG-")
}

/// Returns whether there is a device that NVIDIA's driver made and this process may open. On
/// Windows' Linux there is one device for GPUs of all makers, and a folder with the driver.
fn has_gpu(root: &Path) -> bool {
    use rustix::fs::{Access, access};
    let open = |path: &Path| access(path, Access::READ_OK | Access::WRITE_OK).is_ok();
    let dev = root.join("dev");
    let numbered = |name: &OsStr| {
        let number = name.to_str().and_then(|name| name.strip_prefix("nvidia"));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    let listed = std::fs::read_dir(&dev).into_iter().flatten().flatten();
    let mut gpus = listed.filter(|entry| numbered(&entry.file_name()));
    gpus.any(|entry| open(&entry.path()))
        || (open(&dev.join("dxg")) && root.join("usr/lib/wsl/lib/libcuda.so.1").exists())
}

/// Returns how many GPUs CUDA shows to this process. Opens CUDA's libraries at the first call.
///
/// # Errors
/// Returns what was looked for and where, in words, if CUDA cannot be used.
pub fn gpus() -> std::result::Result<usize, String> {
    static STATE: OnceLock<std::result::Result<usize, String>> = OnceLock::new();
    STATE
        .get_or_init(|| {
            let path = library()?;
            open(&path)?;
            match usize::try_from(tch::Cuda::device_count()) {
                Ok(count @ 1..) if tch::Cuda::is_available() => Ok(count),
                _ => Err(format!("{} was opened, but no GPU answers; does nvidia-smi list one?", path.display())),
            }
        })
        .clone()
}

/// Returns the device to use for `choice`. Opens CUDA if it is a GPU.
///
/// # Errors
/// Returns [`Kind::Torch`] if a GPU was asked for, or seems to be there, and cannot be used.
pub fn resolve(choice: DeviceChoice) -> Result<Device> {
    match choice.hardware() {
        Hardware::Cpu => Ok(Device::Cpu),
        Hardware::Gpu => pick(choice, gpus(), std::env::var_os(VISIBLE).as_deref()),
    }
}

/// Picks the GPU of `choice` among those that were `found`.
fn pick(choice: DeviceChoice, found: std::result::Result<usize, String>, visible: Option<&OsStr>) -> Result<Device> {
    let count = found.map_err(|why| {
        let what = match choice {
            DeviceChoice::Auto => format!("{KEY} = \"auto\": there seems to be a GPU, but it cannot be used: {why}"),
            _ => format!("no GPU: {why}"),
        };
        Error::new(Kind::Torch, what).hint("--device cpu works everywhere")
    })?;
    let number = if let DeviceChoice::Numbered(number) = choice { number } else { 0 };
    if number < count {
        return Ok(Device::Cuda(number));
    }
    let hint = match visible {
        Some(visible) => format!("name one of these; they are those of {VISIBLE}={}, from 0", visible.display()),
        None => "name one of these, or `cuda` for the first".to_owned(),
    };
    Err(Error::new(Kind::Torch, format!("{KEY} = \"{choice}\" is not there: {}", which(count))).hint(hint))
}

/// Says which GPUs there are.
pub(crate) fn which(count: usize) -> String {
    match count {
        0 => "there is no GPU".to_owned(),
        1 => "there is 1 GPU, cuda:0".to_owned(),
        2 => "there are 2 GPUs, cuda:0 and cuda:1".to_owned(),
        _ => format!("there are {count} GPUs, cuda:0 to cuda:{}", count - 1),
    }
}

/// Finds `libtorch_cuda.so` in `MICROCLIP_CUDA_LIBS` if that is set, else near the libtorch that
/// this process runs on: in the folder `cuda` beside it, where `make cuda` puts it, or in its own
/// folder, as in PyTorch's wheel.
fn library() -> std::result::Result<PathBuf, String> {
    const NAME: &str = "libtorch_cuda.so";
    let folders = match std::env::var_os("MICROCLIP_CUDA_LIBS") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => {
            let folder = libtorch()?;
            vec![folder.join("cuda"), folder]
        }
    };
    folders.iter().map(|folder| folder.join(NAME)).find(|path| path.is_file()).ok_or_else(|| {
        let places: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        format!("no {NAME} in {}: `make cuda` fetches it, and PyPI's torch 2.11 has it", places.join(" or "))
    })
}

/// Opens libtorch's CUDA library so that the libtorch already loaded sees its symbols and static
/// initialisers.
fn open(cuda: &Path) -> std::result::Result<(), String> {
    open_globally(cuda)?;
    // libtorch_cpu looks these two up by name when they are first needed, and would not find them
    // in a folder beside its own. Without them only some linear algebra and run-time fusion are
    // missing, so a failure is ignored.
    for lazily in ["libtorch_cuda_linalg.so", "libcaffe2_nvrtc.so"] {
        let _ = open_globally(&cuda.with_file_name(lazily));
    }
    Ok(())
}

#[allow(unsafe_code)]
fn open_globally(path: &Path) -> std::result::Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: the libraries' initialisers only register operators; nothing has used torch yet.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    let library = library.map_err(|e| format!("cannot open {}: {e}", path.display()))?;
    // It must live as long as the process, since torch keeps pointers into it.
    std::mem::forget(library);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_chosen_by_its_number_and_the_first_by_default() {
        let pick = |choice: &str| pick(choice.parse().unwrap(), Ok(2), None).unwrap();
        assert_eq!(["auto", "cuda", "cuda:0", "cuda:1"].map(pick), [0, 0, 0, 1].map(Device::Cuda));
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused_with_those_that_are() {
        let refused = |count, visible: Option<&str>| {
            let error = pick(DeviceChoice::Numbered(8), Ok(count), visible.map(OsStr::new)).unwrap_err();
            format!("{error}\n{}", error.hint_text().unwrap())
        };
        insta::assert_snapshot!(refused(1, None), @r#"
        device.kind = "cuda:8" is not there: there is 1 GPU, cuda:0
        name one of these, or `cuda` for the first
        "#);
        insta::assert_snapshot!(refused(2, Some("4,7")), @r#"
        device.kind = "cuda:8" is not there: there are 2 GPUs, cuda:0 and cuda:1
        name one of these; they are those of CUDA_VISIBLE_DEVICES=4,7, from 0
        "#);
        insta::assert_snapshot!(refused(8, None), @r#"
        device.kind = "cuda:8" is not there: there are 8 GPUs, cuda:0 to cuda:7
        name one of these, or `cuda` for the first
        "#);
    }

    /// Computing on the CPU instead would give results other names than those that were announced.
    #[test]
    fn a_gpu_that_seems_to_be_there_and_cannot_be_used_is_refused() {
        let refused = |choice| pick(choice, Err("the driver is too old".to_owned()), None).unwrap_err().to_string();
        insta::assert_snapshot!(refused(DeviceChoice::Auto), @r#"device.kind = "auto": there seems to be a GPU, but it cannot be used: the driver is too old"#);
        insta::assert_snapshot!(refused(DeviceChoice::Cuda), @"no GPU: the driver is too old");
    }

    #[test]
    fn a_gpu_is_looked_for_without_opening_anything() {
        let root = tempfile::tempdir().unwrap();
        let dev = root.path().join("dev");
        let look = |visible: Option<&str>| {
            seems_usable_in(root.path(), visible.map(OsStr::new), Ok("/libtorch_cuda.so".into()))
        };
        let none = "no GPU is in /dev that this process may open".to_owned();
        assert_eq!(look(None), Err(none.clone()));
        std::fs::create_dir(&dev).unwrap();
        for other in ["nvidiactl", "nvidia-uvm", "nvidia", "dxg", "null"] {
            std::fs::write(dev.join(other), "").unwrap();
        }
        assert_eq!(look(None), Err(none));
        std::fs::write(dev.join("nvidia3"), "").unwrap();
        assert_eq!(look(None), Ok(()));
        let library = Err("no libtorch_cuda.so in /nowhere".to_owned());
        assert_eq!(seems_usable_in(root.path(), None, library.clone()), library.map(|_: PathBuf| ()));
        for shown in ["0", "1,0", " 2", "GPU-8932f937", "MIG-GPU-8932f937/1/2"] {
            assert_eq!(look(Some(shown)), Ok(()), "{shown}");
        }
        for hidden in ["", "-1", "NoDevFiles", "none", "-1,0"] {
            assert_eq!(look(Some(hidden)), Err(format!("CUDA_VISIBLE_DEVICES={hidden} hides every GPU")));
        }
        std::fs::remove_file(dev.join("nvidia3")).unwrap();
        std::fs::create_dir_all(root.path().join("usr/lib/wsl/lib")).unwrap();
        std::fs::write(root.path().join("usr/lib/wsl/lib/libcuda.so.1"), "").unwrap();
        assert_eq!(look(None), Ok(()));
    }
}
