//! Limits how deep a statement nests. Parser and planner are recursive and take one call per link
//! of a chain of operators or joined tables: a chain of several thousand links would overflow the
//! stack and abort the program.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Error, Kind, Result};

/// Maximum number of links on any path into a statement. On a stack of 8 MB, chains of 2,000 links
/// could be planned, and some of 4,000 could not.
const LONGEST: usize = 1_000;

/// Rejects a statement whose chains are too long to plan. Brackets are not counted: the parser
/// limits them itself.
///
/// # Errors
/// Returns [`Kind::Query`] if a chain is too long; the hint says what to write instead.
pub(super) fn check(sql: &str) -> Result<()> {
    // The parser reports invalid SQL better.
    let Ok(tokens) = Tokenizer::new(&GenericDialect, sql).tokenize() else { return Ok(()) };
    if links(tokens) <= LONGEST {
        return Ok(());
    }
    let what = format!("the statement has more than {LONGEST} operators or tables in a row");
    Err(Error::new(Kind::Query, what).hint("x IN (1, 2, ...) and VALUES (1), (2), ... take any number of values"))
}

/// State of one nesting level of brackets.
#[derive(Default)]
struct Level {
    /// Operators of the current expression.
    operators: usize,
    /// Whether commas separate tables.
    tables: bool,
}

/// Returns an upper bound on the links of the longest chain: all tables and set operations, plus
/// the operators of an expression and of the expressions that enclose it.
fn links(tokens: Vec<Token>) -> usize {
    let (mut outer, mut level) = (Vec::new(), Level::default());
    let (mut tables, mut operators, mut most) = (0, 0, 0);
    for token in tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                // In a[1][2] each bracket is an operator.
                level.operators += usize::from(token == Token::LBracket);
                operators += level.operators;
                outer.push(std::mem::take(&mut level));
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                level = outer.pop().unwrap_or_default();
                operators = operators.saturating_sub(level.operators);
            }
            Token::Comma => {
                tables += usize::from(level.tables);
                level.operators = 0;
            }
            Token::Word(word) => match word.keyword {
                Keyword::FROM => level = Level { operators: 0, tables: true },
                Keyword::SELECT | Keyword::VALUES | Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => {
                    tables += 1;
                    level = Level::default();
                }
                Keyword::JOIN => {
                    tables += 1;
                    level.operators = 0;
                }
                Keyword::WHERE | Keyword::GROUP | Keyword::HAVING | Keyword::QUALIFY | Keyword::ORDER => {
                    level = Level::default();
                }
                Keyword::WHEN | Keyword::THEN | Keyword::ELSE | Keyword::ON => level.operators = 0,
                Keyword::AND
                | Keyword::OR
                | Keyword::XOR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::BETWEEN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::DIV
                | Keyword::AT
                | Keyword::COLLATE => level.operators += 1,
                _ => {}
            },
            Token::Whitespace(_) | Token::Number(..) | Token::Period | Token::SemiColon | Token::Placeholder(_) => {}
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) | Token::EOF => {}
            // Operator symbols, and rare kinds of string literals.
            _ => level.operators += 1,
        }
        most = most.max(tables + operators + level.operators);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_counted_and_lists_are_not() {
        let counted = |sql: &str| links(Tokenizer::new(&GenericDialect, sql).tokenize().unwrap());
        assert_eq!(counted("SELECT 1 + 1 + 1, 2 + 2"), 3);
        assert_eq!(counted("SELECT (1 + 1) * (2 + (3 + 3) + 2)"), 4);
        assert_eq!(counted("SELECT 1 UNION ALL SELECT 2"), 3);
        assert_eq!(counted("SELECT 1 FROM a, b JOIN c USING (x, y) WHERE p = 1 AND q"), 5);
        assert_eq!(counted(&format!("SELECT x IN ({})", "-1, ".repeat(5_000))), 3);
        assert_eq!(counted(&format!("VALUES {}", "(1), ".repeat(5_000))), 1);
        assert_eq!(counted(&format!("SELECT CASE {} END", "WHEN a = 1 THEN 2 ".repeat(5_000))), 2);
        assert_eq!(counted(&format!("SELECT {}", "a + b, ".repeat(5_000))), 2);
        assert_eq!(counted(&format!("SELECT a{}", "[1]".repeat(70))), 71);
        assert_eq!(counted(&format!("SELECT 1{}", "::INT".repeat(70))), 71);
        // Unbalanced brackets.
        assert_eq!(counted("))) SELECT (((["), 2);
    }
}
