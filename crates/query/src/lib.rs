//! Selector to plan to merge to tree, series and profile. Writes nothing.
