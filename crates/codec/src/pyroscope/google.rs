//! `google.v1`: the pprof profile as a message.
//!
//! [`crate::pprof`] reads and writes pprof without building this; the struct serves where a
//! response embeds a profile or carries it as JSON.

messages! {
    /// A pprof profile.
    Profile {
        /// What each value of a sample counts.
        1 sample_type: messages<ValueType>,
        /// The samples.
        2 sample: messages<Sample>,
        /// The object files.
        3 mapping: messages<Mapping>,
        /// The places in code.
        4 location: messages<Location>,
        /// The functions.
        5 function: messages<Function>,
        /// All strings; the first is empty.
        6 string_table: strings,
        /// Frames to drop: a regular expression, as an index of `string_table`.
        7 drop_frames: int64,
        /// Frames to keep: a regular expression, as an index of `string_table`.
        8 keep_frames: int64,
        /// Start, nanoseconds since the Unix epoch.
        9 time_nanos: int64,
        /// Length in nanoseconds.
        10 duration_nanos: int64,
        /// What triggers a sample.
        11 period_type: message<ValueType>,
        /// How much of it lies between two samples.
        12 period: int64,
        /// Free text, as indices of `string_table`.
        13 comment: int64s,
        /// The sample type to show first, as an index of `string_table`.
        14 default_sample_type: int64,
    }

    /// What a value counts, as indices of the string table.
    ValueType {
        /// The type.
        1 r#type: int64 ("type"),
        /// The unit.
        2 unit: int64,
    }

    /// A stack with its values.
    Sample {
        /// Locations by id, leaf first.
        1 location_id: uint64s,
        /// One value per sample type.
        2 value: int64s,
        /// Labels.
        3 label: messages<Label>,
    }

    /// A label of a sample, as indices of the string table.
    Label {
        /// The name.
        1 key: int64,
        /// The value, if it is a string.
        2 str: int64,
        /// The value, if it is a number.
        3 num: int64,
        /// The number's unit.
        4 num_unit: int64,
    }

    /// An object file mapped into the process.
    Mapping {
        /// Its id, not 0.
        1 id: uint64,
        /// First address.
        2 memory_start: uint64,
        /// Last address, exclusive.
        3 memory_limit: uint64,
        /// Offset in the file of the first address.
        4 file_offset: uint64,
        /// The file's path, as an index of the string table.
        5 filename: int64,
        /// Its build ID, as an index of the string table.
        6 build_id: int64,
        /// Whether its locations name functions.
        7 has_functions: bool,
        /// Whether they name files.
        8 has_filenames: bool,
        /// Whether they name lines.
        9 has_line_numbers: bool,
        /// Whether they have inlined functions.
        10 has_inline_frames: bool,
    }

    /// A place in code.
    Location {
        /// Its id, not 0.
        1 id: uint64,
        /// The mapping's id; 0 is none.
        2 mapping_id: uint64,
        /// The address.
        3 address: uint64,
        /// The functions here, innermost inlined first.
        4 line: messages<Line>,
        /// Whether several places were folded into this one.
        5 is_folded: bool,
    }

    /// A line of a function.
    Line {
        /// The function's id.
        1 function_id: uint64,
        /// The line.
        2 line: int64,
        /// The column.
        3 column: int64,
    }

    /// A function, its names as indices of the string table.
    Function {
        /// Its id, not 0.
        1 id: uint64,
        /// The name for people.
        2 name: int64,
        /// The linker's name.
        3 system_name: int64,
        /// The source file.
        4 filename: int64,
        /// The line where it begins.
        5 start_line: int64,
    }
}
