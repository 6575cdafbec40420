//! A pipeline's settings for making pseudo-labels.

use std::path::PathBuf;

use super::{Balance, Parameters, Policy, Statement};
use crate::error::Result;
use crate::settings::{Must, SHARE, Want, settings, whole};

settings! {
    /// Dynamic Knowledge Aggregation: how pseudo-labels are made.
    Dka {
        /// The prior's share in the pseudo-logits; the model under training has the rest.
        gamma: f64 = 0.75, SHARE, Answers;
        /// How strongly the prior's answers are pulled towards the shares of the classes
        /// (`adapt.class_prior`), which takes out that it prefers some names to others: 0 not at
        /// all, 1 until they have these shares. `"auto"` chooses the pull from the pictures, so
        /// that none is used where classes are absent or very uneven. With
        /// `adapt.tune = "reference"`, whose prior is made at every step, it changes answers but no
        /// pseudo-labels.
        balance: Balance = Balance::Auto, Want::ShareOrAuto, Answers;
        /// The statement that makes pseudo-labels. Where neither it nor `dka.statement` is given,
        /// it is `balanced`, and `argmax` if `dka.balance` is 0.
        policy: Option<Policy> = None, Policy::WANT, ByContent;
        /// `$k` of the statement: pictures of a class.
        k: u32 = 16, whole(1, 1_000_000), Answers;
        /// `$floor` of the statement: least probability.
        floor: f64 = 0.5, SHARE, Answers;
        /// A SQL file whose statement makes the pseudo-labels in place of a shipped one.
        statement: Option<PathBuf> = None, Want::Path(Must::BeFile), ByContent;
    }
}

impl Dka {
    /// Returns the user's own statement, or that of the policy.
    ///
    /// # Errors
    /// Returns [`crate::error::Kind::Input`] if the user's file cannot be read as text.
    pub fn statement(&self) -> Result<Statement> {
        match &self.statement {
            Some(path) => Statement::from_file(path),
            None => Ok(self.policy.unwrap_or(self.usual_policy()).statement()),
        }
    }

    fn usual_policy(&self) -> Policy {
        if self.balance.is_on() { Policy::Balanced } else { Policy::Argmax }
    }

    /// Returns the values of the statement's parameters; `scale` multiplies cosines.
    pub fn parameters(&self, scale: f64) -> Parameters {
        Parameters { gamma: self.gamma, scale, k: self.k, floor: self.floor }
    }
}
