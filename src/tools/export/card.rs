//! The model card: what the exported model is, how well it did, and how it was made.

use std::fmt::Write;

use crate::error::{Context, Kind, Result};
use crate::fusion::design::StartsFrom;
use crate::runs::adapted_model::AdaptedModel;
use crate::runs::lookup::{self, Measured};
use crate::runs::stored_run::StoredRun;
use crate::source::Split;
use crate::stage::evaluate::MODELS;
use crate::stage::predict::Prior;

/// Writes the card, in Markdown with the head that model hubs read.
pub(super) fn card(chosen: &StoredRun, adapted: &AdaptedModel) -> Result<String> {
    let StoredRun { run, spec, .. } = chosen;
    let (name, tune, reached) = (&spec.name, spec.adapt.tune, adapted.reached);
    let figures = figures(if reached.has_all_passes() { scores(chosen)? } else { None })?;
    let pictures = chosen.pictures()?;
    let test = pictures.rows().iter().filter(|picture| picture.split != Split::Train).count();
    let probabilities = match adapted.temperature {
        Some(t) => {
            format!("divided by the temperature {t:.3}, which was fitted on pseudo-labels and not on true labels")
        }
        None => "not calibrated".to_owned(),
    };
    let trained = match adapted.model.design().starts_from {
        StartsFrom::Features => {
            "Only SOAP's maps and the classifier were trained: the towers are those of the CLIP it was made from."
        }
        StartsFrom::Block(_) | StartsFrom::Pixels => {
            "LayerNorms of the vision tower, SOAP's maps and the classifier were trained; all else is as it was."
        }
    };
    let composite = adapted.model.design().fuses_composite();
    let prior = match adapted.prior().filter(|prior| prior.second.is_none()) {
        Some(Prior { gamma, .. }) => format!(
            ", weighted by {}, and {gamma} x ({} x [CLS] of the crops . prior_classifier + class_bias)",
            1.0 - gamma,
            spec.adapt.logit_scale
        ),
        None => String::new(),
    };
    let crops = if composite || adapted.prior().is_some() {
        format!(
            "; [CLS] of the crops is the mean of {} random crops' [CLS], each weighted by the softmax of its cosine to that of the whole picture",
            spec.views.count
        )
    } else {
        String::new()
    };
    let second = match spec.model.second.path.as_ref().and_then(|path| path.file_name()) {
        Some(name) => format!(
            " Its pseudo-labels, and answers that the prior is mixed into, also drew on a second vision model, `{}`, which is not part of it.",
            name.display()
        ),
        None => String::new(),
    };
    let notes: String = adapted.clip.notes.iter().map(|note| format!("{note}.\n\n")).collect();
    Ok(format!(
        "---\nlibrary_name: transformers\npipeline_tag: zero-shot-image-classification\nlicense: other\n---\n\n# {name}\n\n\
         A CLIP adapted to {classes} classes of pictures by the method microCLIP ([arXiv 2510.02270](https://arxiv.org/abs/2510.02270)), \
         without labels. {trained}{second}\n\n{notes}\
         ## Data\n\n{train} pictures without labels were trained on; {test} more were kept apart to measure. Run `{run}` \
         {reached}, `adapt.tune = \"{tune}\"`, seed {seed}.\n\n\
         ## Figures\n\n{figures}\n\
         ## Use\n\n```python\nfrom transformers import CLIPModel, CLIPProcessor\n\n\
         model = CLIPModel.from_pretrained(\"FOLDER\")\nprocessor = CLIPProcessor.from_pretrained(\"FOLDER\")\n```\n\n\
         `classifier.safetensors` has the rest of the model: `classifier` (a unit row for each name in `classes.json`), the maps \
         `query_proj.weight`, `key_proj.weight` and `value_proj.weight` of SOAP{sink}. An answer is the softmax of \
         {scale} x ({cls_share} {coarse} + {fg_share} [FG]) . classifier{prior}, {probabilities}; [FG] is SOAP's attention over the patch tokens by the \
         value path of the last block{composite}. With [CLS] alone the answers are others, and usually worse. `microclip-pipe predict` gives \
         those of the whole model.\n\n\
         ## Licence\n\nThe licence of the CLIP that this was made from applies to these weights too.\n\n\
         ## Settings that are not the defaults\n\n```toml\n{settings}```\n",
        classes = adapted.classes.len(),
        train = pictures.rows().len() - test,
        seed = spec.seed,
        sink = if adapted.model.soap.sink.is_some() { ", and its learned `sink`" } else { "" },
        scale = spec.adapt.logit_scale,
        cls_share = 1.0 - spec.fusion.ratio,
        coarse = if composite { "[CLS] of the crops" } else { "[CLS]" },
        prior = prior,
        composite = crops,
        fg_share = spec.fusion.ratio,
        settings = chosen.non_defaults()?.iter().map(|(key, value)| format!("{key} = {value}\n")).collect::<String>(),
    ))
}

/// Returns the run's scores: `None` if it was not measured, and empty if no labels are known.
fn scores(chosen: &StoredRun) -> Result<Option<Vec<Measured>>> {
    let StoredRun { store, run, .. } = chosen;
    store.partition("metrics", run)?.require_sound()?;
    Ok(lookup::measured(store, run)?.map(|finished| finished.scores))
}

/// Writes accuracies as a table, in per cent.
fn figures(scores: Option<Vec<Measured>>) -> Result<String> {
    let Some(scores) = scores else { return Ok("It was not measured as it is here.\n".to_owned()) };
    if scores.is_empty() {
        return Ok("No labels are known, so nothing was measured.\n".to_owned());
    }
    let measured = |split: &Split| scores.iter().any(|s| s.split == split.name());
    let splits: Vec<&str> = Split::ALL.iter().filter(|split| measured(split)).map(|split| split.name()).collect();
    let columns: Vec<(&str, &str)> =
        splits.iter().flat_map(|split| [(*split, "top1"), (*split, "mean_class")]).collect();
    let find = |model: &str, (split, metric): (&str, &str)| {
        scores.iter().find(|s| s.model == model && s.split == split && s.metric == metric).map(|s| s.value)
    };
    let titles: String = splits.iter().map(|split| format!(" {split} top-1 | {split} per class |")).collect();
    let mut text = format!("| % |{titles}\n|---|{}\n", "---:|".repeat(columns.len()));
    for (model, name) in MODELS.iter().filter(|(model, _)| scores.iter().any(|s| s.model == *model)) {
        let cells =
            columns.iter().map(|column| find(model, *column).map_or("-".to_owned(), |v| format!("{:.1}", 100.0 * v)));
        let cells: Vec<String> = cells.collect();
        writeln!(text, "| {name} | {} |", cells.join(" | "))
            .context(Kind::Store, || "cannot write the card".to_owned())?;
    }
    Ok(text)
}
