//! Checks a machine, a pipeline and its store without running anything, and says how to fix what is
//! wrong.

use std::path::Path;

use tch::{Kind as Number, Tensor};

use crate::clip::{Clip, Tokenizer};
use crate::config::Spec;
use crate::device;
use crate::device::DeviceChoice;
use crate::error::{Error, Result};
use crate::runs::holdings::examine;
use crate::stage::describe::Sentences;
use crate::stage::ingest;
use crate::store::Store;
use crate::workspace::opened;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub what: &'static str,
    /// Whether it is in order.
    pub state: State,
    /// What was found.
    pub detail: String,
    /// How to fix it, if that is known.
    pub mend: Option<String>,
}

/// Whether something is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Fine,
    /// Worth knowing, but no obstacle.
    Note,
    /// A run would fail.
    Broken,
}

impl Finding {
    fn new(what: &'static str, state: State, detail: impl Into<String>) -> Self {
        Finding { what, state, detail: detail.into(), mend: None }
    }

    fn mend(self, mend: impl Into<String>) -> Self {
        Finding { mend: Some(mend.into()), ..self }
    }

    /// Makes a finding: fine with what `looked` says, or broken with its error and hint.
    fn of(what: &'static str, looked: Result<String>) -> Self {
        match looked {
            Ok(detail) => Finding::new(what, State::Fine, detail),
            Err(error) => Finding::broken(what, &error),
        }
    }

    /// Makes a finding of what is broken by an error.
    pub fn broken(what: &'static str, error: &Error) -> Self {
        Finding { mend: error.own_hint().map(str::to_owned), ..Finding::new(what, State::Broken, error.to_string()) }
    }
}

/// Free bytes on the store's disk that any run needs.
const LEAST_FREE: u64 = 100_000_000;

/// Free bytes below which the disk gets a note: the patch tokens of 10,000 pictures with a ViT-B/16
/// are 3 GB.
const LITTLE_FREE: u64 = 5_000_000_000;

/// Checks the machine; `spec` says which device is wanted.
pub fn machine(spec: Option<&Spec>) -> Vec<Finding> {
    // Must come before torch is used, which would not see its CUDA side any more.
    let cuda = cuda(spec);
    let instructions = device::cpu_instructions();
    let instructions = if instructions.is_empty() { "none known".to_owned() } else { instructions.join(", ") };
    let cpu = Finding::new("cpu", State::Fine, format!("{} cores; vector instructions: {instructions}", cores()));
    vec![libtorch(), cuda, cpu]
}

fn cores() -> usize {
    crate::cores::available()
}

fn libtorch() -> Finding {
    const REINSTALL: &str = "make libtorch, then build again";
    let folder = match device::libtorch() {
        Ok(folder) => folder,
        Err(why) => return Finding::new("libtorch", State::Broken, why).mend(REINSTALL),
    };
    let computed = device::guarded("libtorch", || {
        let ones = Tensor::ones([2, 2], (Number::Float, tch::Device::Cpu));
        Ok(ones.matmul(&ones).sum(Number::Float).double_value(&[]))
    });
    // PyTorch's wheel has the version in a file one folder up.
    let version = std::fs::read_to_string(folder.join("../build-version")).unwrap_or_default();
    let version = if version.trim().is_empty() { "version not known" } else { version.trim() };
    let found = format!("{version}, in {}", folder.display());
    match computed {
        Ok(8.0) if version.starts_with("2.11") || version.starts_with("version") => {
            Finding::new("libtorch", State::Fine, found)
        }
        Ok(8.0) => Finding::new("libtorch", State::Broken, format!("{found}; this program is made for 2.11"))
            .mend("unset LIBTORCH and build again, so that `make libtorch` fetches 2.11"),
        Ok(other) => {
            Finding::new("libtorch", State::Broken, format!("{found} computes {other} instead of 8")).mend(REINSTALL)
        }
        Err(error) => Finding::broken("libtorch", &error).mend(REINSTALL),
    }
}

fn cuda(spec: Option<&Spec>) -> Finding {
    let wanted = spec.map_or(DeviceChoice::Auto, |spec| spec.device.kind);
    match (device::cuda(), wanted) {
        (Ok(()), DeviceChoice::Cpu) => {
            Finding::new("cuda", State::Note, "there is a GPU, and device.kind = \"cpu\" leaves it alone")
        }
        (Ok(()), _) => {
            Finding::new("cuda", State::Fine, format!("{} GPUs; the first is used", tch::Cuda::device_count()))
        }
        (Err(why), DeviceChoice::Cuda) => {
            Finding::new("cuda", State::Broken, format!("not usable: {why}")).mend("make cuda, or --device cpu")
        }
        (Err(why), _) => Finding::new("cuda", State::Note, format!("not used: {why}")),
    }
}

/// Checks what a pipeline file names: the model, the pictures, the sentences and the store. Reads
/// every file of the store.
pub fn pipeline(spec: &Spec) -> Vec<Finding> {
    let clip = Clip::open(&spec.model);
    let tokenizer = clip.as_ref().ok().map(|clip| &clip.tokenizer);
    let mut findings = vec![model(spec, &clip), Finding::new("device", State::Fine, ground(spec))];
    let listed = opened::pictures(spec).and_then(|(source, settings)| {
        let classes = ingest::classes(source.as_ref(), &settings)?;
        let listing = source.listing();
        let labels = if listing.has_labels { "with labels, for evaluation alone" } else { "without labels" };
        let detail = format!("{} files, {} classes, {labels}", listing.items, classes.len());
        Ok((classes, detail, listing.notes.iter().chain(&listing.unlabelled).cloned().collect::<Vec<_>>()))
    });
    match listed {
        Err(error) => findings.push(Finding::broken("pictures", &error)),
        Ok((classes, detail, notes)) => {
            findings.push(Finding::new("pictures", State::Fine, detail));
            findings.extend(notes.into_iter().map(|note| Finding::new("pictures", State::Note, note)));
            findings.push(words(spec, &classes, tokenizer));
        }
    }
    findings.extend(store(&spec.store));
    findings
}

/// Says in words what a pipeline computes on.
pub fn ground(spec: &Spec) -> String {
    let threads = if spec.device.threads == 0 { cores() } else { spec.device.threads };
    match device::resolve(spec.device.kind) {
        Ok(device) if device.is_cuda() => format!("a GPU, {threads} threads on the CPU"),
        Ok(_) => format!("the CPU, {threads} threads"),
        Err(error) => error.to_string(),
    }
}

/// Checks the sentences about the classes; `tokenizer` is the model's, if that could be opened.
fn words(spec: &Spec, classes: &[String], tokenizer: Option<&Tokenizer>) -> Finding {
    let looked = Sentences::of(&spec.text, classes).and_then(|sentences| {
        let cut = tokenizer.map(|tokenizer| sentences.too_long(tokenizer)).transpose()?.flatten();
        Ok((format!("{} different ones", sentences.count()), cut))
    });
    match looked {
        Ok((detail, None)) => Finding::new("sentences", State::Fine, detail),
        Ok((detail, Some(cut))) => Finding::new("sentences", State::Note, format!("{detail}; {cut}"))
            .mend("shorten them: what is cut off, the model does not see"),
        Err(error) => Finding::broken("sentences", &error),
    }
}

fn model(spec: &Spec, clip: &Result<Clip>) -> Finding {
    let clip = match clip {
        Ok(clip) => clip,
        Err(error) => return Finding::broken("model", error),
    };
    let described = device::resolve(spec.device.kind).map(|device| {
        let (vision, text) = (&clip.config.vision, &clip.config.text);
        let precision = |precision: device::Precision| precision.as_str();
        format!(
            "vision {} blocks of {} on {} patches, text {} blocks of {}, joint space of {}; {} to embed, {} to adapt",
            vision.layers,
            vision.width,
            vision.patches(),
            text.layers,
            text.width,
            clip.config.joint,
            precision(spec.model.precision.resolve(device, vision.width)),
            precision(spec.adapt.tower_precision(device, vision.width)),
        )
    });
    match (described, clip.notes.first()) {
        (Ok(described), Some(note)) => Finding::new("model", State::Note, format!("{described}; {note}")),
        (described, _) => Finding::of("model", described),
    }
}

fn store(root: &Path) -> Vec<Finding> {
    let shown = root.display();
    // A new store is made in the nearest folder that exists.
    let Some(ground) = root.ancestors().find(|folder| folder.is_dir()) else {
        return vec![Finding::new("store", State::Broken, format!("no folder above {shown}"))];
    };
    let there = if root.is_dir() { shown.to_string() } else { format!("{shown}, which a run will make") };
    if let Err(error) = tempfile::tempfile_in(ground) {
        let what = format!("cannot write to {}: {error}", ground.display());
        return vec![
            Finding::new("store", State::Broken, what)
                .mend("name a folder that you may write to with --store DIR, or with `store` in the pipeline file"),
        ];
    }
    let mut findings = vec![Finding::new("store", State::Fine, there), disk(ground)];
    if root.is_dir() {
        findings.push(parts(root));
    }
    findings
}

fn disk(folder: &Path) -> Finding {
    let free = match rustix::fs::statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return Finding::new("disk", State::Note, format!("free space is not known: {error}")),
    };
    let detail = format!("{:.1} GB free", free as f64 / 1e9);
    let state = match free {
        ..LEAST_FREE => State::Broken,
        LEAST_FREE..LITTLE_FREE => State::Note,
        _ => State::Fine,
    };
    let finding = Finding::new("disk", state, detail);
    if state == State::Fine {
        return finding;
    }
    finding.mend("free some: `microclip-pipe cache gc PIPELINE --unreferenced --dry-run` says what of the store can go")
}

fn parts(root: &Path) -> Finding {
    let examined = match Store::open_read(root).and_then(|store| examine(&store)) {
        Ok(examined) => examined,
        Err(error) => return Finding::broken("parts", &error),
    };
    let Some((path, why)) = examined.unsound.first() else {
        return Finding::new("parts", State::Fine, format!("{} files, all as they were written", examined.files));
    };
    let more = match examined.unsound.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let what = format!("of {} files cannot be relied on: {} ({why}){more}", examined.files, path.display());
    // The next run recomputes what it needs; until then, queries lack it.
    Finding::new("parts", State::Broken, what)
        .mend("microclip-pipe run PIPELINE: it sets damaged files aside and computes what was in them anew")
}
