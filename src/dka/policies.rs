//! The built-in statements: one SQL file each, in `policies/`, with a comment that says what it
//! does and why.

use crate::dka::statement::Statement;
use crate::settings::choice;

choice! {
    /// Which of the shipped statements makes the pseudo-labels.
    Policy {
        /// The best class of the mixed logits, for every picture: the paper's.
        Argmax = "argmax",
        /// The best class after the classes were balanced over all pictures, as `dka.balance` says.
        Balanced = "balanced",
        /// For each class the `k` pictures that are most probable for it.
        TopKPerClass = "top_k_per_class",
        /// The best class, where its probability is at least `floor`.
        Confident = "confident",
        /// The best class, where the prior and the fused model name the same.
        Agreement = "agreement",
        /// The best class; classes that no picture was given take up to `k` pictures.
        Revive = "revive",
    }
}

impl Policy {
    /// Returns the policy's statement, named after its file.
    pub fn statement(self) -> Statement {
        let (name, sql) = match self {
            Policy::Argmax => ("argmax.sql", include_str!("policies/argmax.sql")),
            Policy::Balanced => ("balanced.sql", include_str!("policies/balanced.sql")),
            Policy::TopKPerClass => ("top_k_per_class.sql", include_str!("policies/top_k_per_class.sql")),
            Policy::Confident => ("confident.sql", include_str!("policies/confident.sql")),
            Policy::Agreement => ("agreement.sql", include_str!("policies/agreement.sql")),
            Policy::Revive => ("revive.sql", include_str!("policies/revive.sql")),
        };
        Statement::new(name, sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_can_be_planned_and_says_what_it_does() {
        for policy in Policy::ALL.iter() {
            let statement = policy.statement();
            statement.validate().await.unwrap();
            assert!(statement.sql().starts_with("-- "), "{}", statement.name());
        }
    }
}
