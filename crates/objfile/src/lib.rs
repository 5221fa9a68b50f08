//! ELF facts: build ID, sections, segments and the three kinds of address. Opens no file.
