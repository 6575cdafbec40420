//! Dynamic Knowledge Aggregation: one pass, as SQL over tables.
