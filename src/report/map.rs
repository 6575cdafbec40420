//! A map of pictures: where the frozen model puts them, and where the adapted one does.
//!
//! Features have hundreds of dimensions; the two in which they differ most (principal components)
//! are drawn.

use std::collections::HashMap;

use datafusion::execution::context::SessionContext;
use serde::{Deserialize, Serialize};
use tch::{Kind as Number, Tensor};

use super::sample::Sample;
use crate::device::guarded;
use crate::error::{Context, Error, Kind, Result};
use crate::store::{Partition, reader};
use crate::table::arrays;
use crate::table::tensor::numbers;
use crate::table::typed_rows::rows;

/// Side of a map in its own units, and the room at its edges.
const SIDE: f64 = 400.0;
const EDGE: f64 = 10.0;

/// A picture on the map.
#[derive(Debug, Deserialize)]
pub(super) struct Place {
    pub(super) image_id: String,
    /// The true class if it is known, else the answer.
    class_id: usize,
    /// [CLS] of the frozen model, (d), of unit length.
    #[serde(skip)]
    cls_feature: Vec<f32>,
}

/// Two maps of the same pictures.
#[derive(Debug, Serialize)]
pub(super) struct Map {
    pictures: usize,
    side: f64,
    views: Vec<View>,
    classes: Vec<Class>,
}

#[derive(Debug, Serialize)]
struct View {
    name: &'static str,
    /// The share of the variance that the two dimensions have.
    shown: f64,
    groups: Vec<Group>,
}

/// The dots of a class.
#[derive(Debug, Serialize)]
struct Group {
    class_id: usize,
    name: String,
    hue: usize,
    path: String,
}

#[derive(Debug, Serialize)]
struct Class {
    id: usize,
    name: String,
    hue: usize,
    pictures: usize,
    /// The mean cosine of the class's pictures to their own mean, in each view.
    together: Vec<f64>,
}

/// Draws `count` pictures, or all if there are fewer, with their features from the partition of
/// `embeddings`. The pictures come in the order of their ids, which are hashes, from where the
/// sample begins.
pub(super) async fn sample(
    ctx: &SessionContext,
    drawn: &Sample,
    count: usize,
    embeddings: Option<&Partition>,
) -> Result<Vec<Place>> {
    let Some(embeddings) = embeddings.filter(|_| count > 0) else { return Ok(Vec::new()) };
    let statement = format!(
        "SELECT p.image_id, coalesce(l.class_id, p.class_id) AS class_id
         FROM (SELECT image_id, class_id FROM predictions ORDER BY {} LIMIT {count}) p
         LEFT JOIN labels l ON l.image_id = p.image_id
         ORDER BY p.image_id",
        drawn.order("image_id")
    );
    let mut places: Vec<Place> = rows(ctx, &statement).await?;
    let at: HashMap<String, usize> = places.iter().map(|place| place.image_id.clone()).zip(0..).collect();
    for batch in reader::rows_with(embeddings, &["image_id", "cls_feature"], |id| at.contains_key(id))? {
        let batch = batch?;
        let (features, width) = arrays::rows_f32(&batch, "cls_feature")?;
        for (id, feature) in arrays::strings(&batch, "image_id")?.into_iter().zip(features.chunks_exact(width)) {
            places[at[id]].cls_feature = feature.to_vec();
        }
    }
    places.retain(|place| !place.cls_feature.is_empty());
    Ok(places)
}

/// Draws both maps of the pictures that have adapted features: `adapted` has their rows of the
/// sample, and (n, d).
pub(super) fn draw(sample: &[Place], adapted: Option<(Vec<usize>, Tensor)>, names: &[String]) -> Result<Option<Map>> {
    let Some((of, adapted)) = adapted.filter(|(of, _)| of.len() > 2) else { return Ok(None) };
    let rows: Vec<&Place> = of.iter().map(|&row| &sample[row]).collect();
    let frozen: Vec<f32> = rows.iter().flat_map(|row| row.cls_feature.iter().copied()).collect();
    let classes: Vec<usize> = rows.iter().map(|row| row.class_id).collect();
    let (before, after) = guarded("drawing the map", || {
        let frozen = Tensor::from_slice(&frozen).view([rows.len() as i64, -1]);
        let before = principal(&frozen)?;
        let mut after = principal(&adapted)?;
        after.turn_towards(&before);
        Ok(((before, frozen), (after, adapted)))
    })?;
    let together = [cohesion(&before.1, &classes, names.len())?, cohesion(&after.1, &classes, names.len())?];
    let views = [("before: the frozen [CLS] feature", &before.0), ("after: the adapted feature", &after.0)];
    let of_class = |id: usize| classes.iter().filter(|&&class| class == id).count();
    let classes_shown = names.iter().enumerate().filter(|(id, _)| of_class(*id) > 0).map(|(id, name)| Class {
        id,
        name: name.clone(),
        hue: hue(id, names),
        pictures: of_class(id),
        together: together.iter().map(|t| t[id]).collect(),
    });
    Ok(Some(Map {
        pictures: rows.len(),
        side: SIDE,
        views: views
            .into_iter()
            .map(|(name, plane)| View { name, shown: plane.shown, groups: plane.groups(&classes, names) })
            .collect(),
        classes: classes_shown.collect(),
    }))
}

/// Returns the colour of a class, in degrees.
fn hue(class_id: usize, names: &[String]) -> usize {
    class_id * 360 / names.len().max(1)
}

/// Points in two dimensions, and the share of all variance that these have.
struct Plane {
    points: Vec<[f64; 2]>,
    shown: f64,
}

/// Projects features (n, d) onto their two principal components.
fn principal(features: &Tensor) -> Result<Plane> {
    let x = features.to_kind(Number::Double);
    let x = &x - x.mean_dim([0i64].as_slice(), true, Number::Double);
    let covariance = x.tr().matmul(&x) / x.size()[0] as f64;
    // Eigenvalues come in ascending order.
    let (values, vectors) = covariance
        .f_linalg_eigh("L")
        .context(Kind::Torch, || "the principal components of the features cannot be found".to_owned())?;
    let dimensions = values.size()[0];
    if dimensions < 2 {
        return Err(Error::new(Kind::Model, "features of one dimension have no map"));
    }
    let plane = x.matmul(&vectors.narrow(1, dimensions - 2, 2));
    let points = numbers(&plane.reshape([-1]).to_kind(Number::Float))?;
    let points = points.chunks_exact(2).map(|p| [f64::from(p[1]), f64::from(p[0])]).collect();
    let two = values.narrow(0, dimensions - 2, 2).sum(Number::Double).double_value(&[]);
    let all = values.sum(Number::Double).double_value(&[]);
    Ok(Plane { points, shown: if all > 0.0 { two / all } else { 0.0 } })
}

impl Plane {
    /// Flips axes so that pictures stay close to where they are in `other`: those of principal
    /// components may point either way.
    fn turn_towards(&mut self, other: &Plane) {
        for axis in 0..2 {
            let agreement: f64 = self.points.iter().zip(&other.points).map(|(a, b)| a[axis] * b[axis]).sum();
            if agreement < 0.0 {
                self.points.iter_mut().for_each(|point| point[axis] = -point[axis]);
            }
        }
    }

    /// Draws each class's dots as a path of points, both axes at one scale.
    fn groups(&self, classes: &[usize], names: &[String]) -> Vec<Group> {
        let ends = |axis: usize| {
            let values = || self.points.iter().map(|p| p[axis]);
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
        };
        let (x, y) = (ends(0), ends(1));
        let scale = (SIDE - 2.0 * EDGE) / (x.1 - x.0).max(y.1 - y.0).max(1e-9);
        let at = |value: f64, (low, high): (f64, f64)| SIDE / 2.0 + (value - (low + high) / 2.0) * scale;
        let empty = |(class_id, name): (usize, &String)| Group {
            class_id,
            name: name.clone(),
            hue: hue(class_id, names),
            path: String::new(),
        };
        let mut groups: Vec<Group> = names.iter().enumerate().map(empty).collect();
        for (point, &class) in self.points.iter().zip(classes) {
            if let Some(group) = groups.get_mut(class) {
                group.path.push_str(&format!("M{:.1} {:.1}h0", at(point[0], x), SIDE - at(point[1], y)));
            }
        }
        groups.retain(|group| !group.path.is_empty());
        groups
    }
}

/// Returns for each class the mean cosine of its features (n, d), of unit length, to their mean:
/// the length of that mean.
fn cohesion(features: &Tensor, classes: &[usize], count: usize) -> Result<Vec<f64>> {
    guarded("measuring the classes", || {
        (0..count)
            .map(|class| {
                let rows: Vec<i64> = (0i64..).zip(classes).filter(|(_, c)| **c == class).map(|(row, _)| row).collect();
                if rows.is_empty() {
                    return Ok(0.0);
                }
                let mean = features.index_select(0, &Tensor::from_slice(&rows)).mean_dim(
                    [0i64].as_slice(),
                    false,
                    Number::Double,
                );
                Ok(mean.norm().double_value(&[]))
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_shows_where_points_differ_most() {
        // Far apart along the second of three axes, a little along the third, not at all along the
        // first.
        let points = [[1.0f32, 5.0, 0.1], [1.0, -5.0, 0.1], [1.0, 3.0, -0.1], [1.0, -3.0, -0.1]];
        let features = Tensor::from_slice(&points.concat()).view([4, 3]);
        let plane = principal(&features).unwrap();
        assert!((plane.shown - 1.0).abs() < 1e-6, "two dimensions are all there is: {}", plane.shown);
        let first: Vec<f64> = plane.points.iter().map(|p| p[0].abs()).collect();
        for (got, want) in first.iter().zip([5.0, 5.0, 3.0, 3.0]) {
            assert!((got - want).abs() < 1e-5, "{first:?}");
        }
    }

    #[test]
    fn a_class_that_lies_together_has_cohesion_one() {
        let features = Tensor::from_slice(&[1.0f32, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, -1.0]).view([4, 2]);
        let together = cohesion(&features, &[0, 0, 1, 1], 3).unwrap();
        assert_eq!(together, [1.0, 0.0, 0.0]);
    }
}
