//! The revisions' field tables: which number means what, and how indices are to be read.
//!
//! Field 0 does not exist on the wire; here it stands for "this revision has no such field".
//! Message numbers that never changed (`Resource`, `InstrumentationScope`, `KeyValue`, `Line`,
//! `ValueType`, `Link`) are written where they are read.

/// A layout of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Revision {
    /// opentelemetry-proto v1.3: each profile in a container, close to pprof.
    V1_3,
    /// opentelemetry-proto v1.4 and v1.5: each profile has its own tables.
    V1_4,
    /// opentelemetry-proto v1.6: the tables are at the top level of a dump (`ProfilesData`).
    V1_6,
    /// opentelemetry-proto v1.7: the tables are in a dictionary.
    V1_7,
    /// opentelemetry-proto v1.8: one sample type per profile, tables with a null element.
    V1_8,
    /// opentelemetry-proto v1.9.
    V1_9,
    /// opentelemetry-proto v1.10 and v1.11.
    V1_10,
}

impl Revision {
    /// All revisions, oldest first.
    pub const ALL: [Self; 7] =
        [Self::V1_3, Self::V1_4, Self::V1_6, Self::V1_7, Self::V1_8, Self::V1_9, Self::V1_10];

    /// For logs and metrics: `v1.10`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_3 => "v1.3",
            Self::V1_4 => "v1.4",
            Self::V1_6 => "v1.6",
            Self::V1_7 => "v1.7",
            Self::V1_8 => "v1.8",
            Self::V1_9 => "v1.9",
            Self::V1_10 => "v1.10",
        }
    }

    /// The field numbers of this revision.
    pub(super) fn layout(self) -> &'static Layout {
        match self {
            Self::V1_3 => &V1_3,
            Self::V1_4 => &V1_4,
            Self::V1_6 => &V1_6,
            Self::V1_7 => &V1_7,
            Self::V1_8 => &V1_8,
            Self::V1_9 => &V1_9,
            Self::V1_10 => &V1_10,
        }
    }
}

/// Which message holds the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// Each profile has its own.
    Profile,
    /// The request itself.
    Request,
    /// The request's dictionary.
    Dictionary,
}

/// Everything that differs between revisions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) home: Home,
    /// Whether profiles come in containers.
    pub(super) container: bool,
    /// Whether element 0 of each table means "none"; otherwise it is an element like others, and
    /// only an absent field means "none", where the field can be absent at all.
    pub(super) null_first: bool,
    /// Whether a location without a mapping index has the first mapping.
    pub(super) mapping_always: bool,
    /// Whether entries of the attribute table have their keys inline.
    pub(super) inline_keys: bool,
    /// Whether `value[i]` of a sample belongs to `sample_type[i]`; otherwise there is one type, and
    /// `values[i]` belongs to `timestamps_unix_nano[i]`.
    pub(super) many_types: bool,
    pub(super) tables: Tables,
    pub(super) profile: Profile,
    pub(super) sample: Sample,
    pub(super) mapping: Mapping,
    pub(super) location: Location,
    /// The field before `Function.name`.
    pub(super) function_offset: u32,
}

/// Numbers of the tables in the message that holds them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables {
    pub(super) mapping: u32,
    pub(super) location: u32,
    pub(super) function: u32,
    pub(super) link: u32,
    pub(super) string: u32,
    pub(super) attribute: u32,
    pub(super) stack: u32,
}

/// Numbers in `Profile`; 1 and 2 are types and samples in all revisions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Profile {
    pub(super) time: u32,
    pub(super) duration: u32,
    pub(super) period_type: u32,
    pub(super) period: u32,
    pub(super) id: u32,
    pub(super) attribute_indices: u32,
    pub(super) attributes: u32,
    pub(super) location_indices: u32,
}

/// Numbers in `Sample`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) stack: u32,
    pub(super) location_list: u32,
    pub(super) locations_start: u32,
    pub(super) locations_length: u32,
    pub(super) values: u32,
    pub(super) attributes: u32,
    pub(super) link: u32,
    pub(super) timestamps: u32,
    pub(super) labels: u32,
}

/// Numbers in `Mapping`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    pub(super) start: u32,
    pub(super) limit: u32,
    pub(super) offset: u32,
    pub(super) filename: u32,
    pub(super) attributes: u32,
    pub(super) build_id: u32,
    pub(super) build_id_kind: u32,
}

/// Numbers in `Location`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Location {
    pub(super) mapping: u32,
    pub(super) address: u32,
    pub(super) line: u32,
    pub(super) attributes: u32,
    pub(super) kind: u32,
}

const DICTIONARY: Tables =
    Tables { mapping: 1, location: 2, function: 3, link: 4, string: 5, attribute: 6, stack: 7 };
const MAPPING: Mapping =
    Mapping { start: 1, limit: 2, offset: 3, filename: 4, attributes: 5, build_id: 0, build_id_kind: 0 };

static V1_10: Layout = Layout {
    home: Home::Dictionary,
    container: false,
    null_first: true,
    mapping_always: false,
    inline_keys: false,
    many_types: false,
    tables: DICTIONARY,
    profile: Profile {
        time: 3,
        duration: 4,
        period_type: 5,
        period: 6,
        id: 7,
        attribute_indices: 11,
        attributes: 0,
        location_indices: 0,
    },
    sample: Sample {
        stack: 1,
        location_list: 0,
        locations_start: 0,
        locations_length: 0,
        values: 4,
        attributes: 2,
        link: 3,
        timestamps: 5,
        labels: 0,
    },
    mapping: MAPPING,
    location: Location { mapping: 1, address: 2, line: 3, attributes: 4, kind: 0 },
    function_offset: 0,
};

static V1_9: Layout =
    Layout { sample: Sample { values: 2, attributes: 3, link: 4, ..V1_10.sample }, ..V1_10 };

static V1_8: Layout = Layout { profile: Profile { id: 8, attribute_indices: 12, ..V1_9.profile }, ..V1_9 };

static V1_7: Layout = Layout {
    null_first: false,
    inline_keys: true,
    many_types: true,
    tables: Tables { stack: 0, ..DICTIONARY },
    profile: Profile {
        time: 4,
        duration: 5,
        period_type: 6,
        period: 7,
        id: 10,
        attribute_indices: 14,
        attributes: 0,
        location_indices: 3,
    },
    sample: Sample {
        stack: 0,
        location_list: 0,
        locations_start: 1,
        locations_length: 2,
        values: 3,
        attributes: 4,
        link: 5,
        timestamps: 6,
        labels: 0,
    },
    location: Location { mapping: 1, address: 2, line: 3, attributes: 5, kind: 0 },
    ..V1_8
};

static V1_6: Layout = Layout {
    home: Home::Request,
    tables: Tables { mapping: 2, location: 3, function: 4, link: 5, string: 6, attribute: 7, stack: 0 },
    ..V1_7
};

static V1_4: Layout = Layout {
    home: Home::Profile,
    tables: Tables { mapping: 3, location: 4, function: 6, link: 9, string: 10, attribute: 7, stack: 0 },
    profile: Profile {
        time: 11,
        duration: 12,
        period_type: 13,
        period: 14,
        id: 17,
        attribute_indices: 22,
        attributes: 18,
        location_indices: 5,
    },
    ..V1_7
};

static V1_3: Layout = Layout {
    container: true,
    mapping_always: true,
    tables: Tables { mapping: 3, location: 4, function: 5, link: 18, string: 6, attribute: 16, stack: 0 },
    profile: Profile {
        time: 9,
        duration: 10,
        period_type: 11,
        period: 12,
        id: 0,
        attribute_indices: 0,
        attributes: 0,
        location_indices: 15,
    },
    sample: Sample {
        stack: 0,
        location_list: 1,
        locations_start: 7,
        locations_length: 8,
        values: 2,
        attributes: 10,
        link: 12,
        timestamps: 13,
        labels: 3,
    },
    mapping: Mapping {
        start: 2,
        limit: 3,
        offset: 4,
        filename: 5,
        attributes: 12,
        build_id: 6,
        build_id_kind: 11,
    },
    location: Location { mapping: 2, address: 3, line: 4, attributes: 7, kind: 6 },
    function_offset: 1,
    ..V1_4
};
