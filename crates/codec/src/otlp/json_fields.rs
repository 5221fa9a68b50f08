//! The messages' fields in JSON, by revision: names, numbers and kinds.

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Int,
    Fixed64,
    Double,
    Bool,
    Text,
    Bytes,
    /// Bytes of an id: hexadecimal if the text has exactly this many digits, else base64.
    Id(usize),
    Message(&'static &'static [Field]),
}

/// JSON name, number, kind.
pub(super) type Field = (&'static str, u32, Kind);

use Kind::{Bool, Double, Fixed64, Id, Int, Message, Text};

static RESOURCE: &[Field] = &[("attributes", 1, Message(&KEY_VALUE))];
static SCOPE: &[Field] = &[("name", 1, Text), ("version", 2, Text), ("attributes", 3, Message(&KEY_VALUE))];
static KEY_VALUE: &[Field] = &[("key", 1, Text), ("value", 2, Message(&ANY_VALUE)), ("keyStrindex", 3, Int)];
static ANY_VALUE: &[Field] = &[
    ("stringValue", 1, Text),
    ("boolValue", 2, Bool),
    ("intValue", 3, Int),
    ("doubleValue", 4, Double),
    ("arrayValue", 5, Message(&ARRAY)),
    ("kvlistValue", 6, Message(&KEY_VALUE_LIST)),
    ("bytesValue", 7, Kind::Bytes),
    ("stringValueStrindex", 8, Int),
];
static ARRAY: &[Field] = &[("values", 1, Message(&ANY_VALUE))];
static KEY_VALUE_LIST: &[Field] = &[("values", 1, Message(&KEY_VALUE))];
static LINK: &[Field] = &[("traceId", 1, Id(32)), ("spanId", 2, Id(16))];
static LINE: &[Field] = &[("functionIndex", 1, Int), ("line", 2, Int), ("column", 3, Int)];
static VALUE_TYPE: &[Field] = &[("typeStrindex", 1, Int), ("unitStrindex", 2, Int)];
static MAPPING: &[Field] = &[
    ("memoryStart", 1, Int),
    ("memoryLimit", 2, Int),
    ("fileOffset", 3, Int),
    ("filenameStrindex", 4, Int),
    ("attributeIndices", 5, Int),
];
static FUNCTION: &[Field] = &[
    ("nameStrindex", 1, Int),
    ("systemNameStrindex", 2, Int),
    ("filenameStrindex", 3, Int),
    ("startLine", 4, Int),
];

/// A request of v1.8 or newer, in the numbers of v1.10.
pub(super) static V1_10: &[Field] =
    &[("resourceProfiles", 1, Message(&RESOURCE_PROFILES)), ("dictionary", 2, Message(&DICTIONARY))];
static RESOURCE_PROFILES: &[Field] =
    &[("resource", 1, Message(&RESOURCE)), ("scopeProfiles", 2, Message(&SCOPE_PROFILES))];
static SCOPE_PROFILES: &[Field] = &[("scope", 1, Message(&SCOPE)), ("profiles", 2, Message(&PROFILE))];
static PROFILE: &[Field] = &[
    ("sampleType", 1, Message(&VALUE_TYPE)),
    ("samples", 2, Message(&SAMPLE)),
    // The name in v1.8, which is otherwise the same in JSON.
    ("sample", 2, Message(&SAMPLE)),
    ("timeUnixNano", 3, Fixed64),
    ("durationNano", 4, Int),
    ("periodType", 5, Message(&VALUE_TYPE)),
    ("period", 6, Int),
    ("profileId", 7, Id(32)),
    ("attributeIndices", 11, Int),
];
static SAMPLE: &[Field] = &[
    ("stackIndex", 1, Int),
    ("attributeIndices", 2, Int),
    ("linkIndex", 3, Int),
    ("values", 4, Int),
    ("timestampsUnixNano", 5, Fixed64),
];
static DICTIONARY: &[Field] = &[
    ("mappingTable", 1, Message(&MAPPING)),
    ("locationTable", 2, Message(&LOCATION)),
    ("functionTable", 3, Message(&FUNCTION)),
    ("linkTable", 4, Message(&LINK)),
    ("stringTable", 5, Text),
    ("attributeTable", 6, Message(&KEY_VALUE_AND_UNIT)),
    ("stackTable", 7, Message(&STACK)),
];
static STACK: &[Field] = &[("locationIndices", 1, Int)];
static LOCATION: &[Field] = &[
    ("mappingIndex", 1, Int),
    ("address", 2, Int),
    ("lines", 3, Message(&LINE)),
    ("line", 3, Message(&LINE)),
    ("attributeIndices", 4, Int),
];
static KEY_VALUE_AND_UNIT: &[Field] =
    &[("keyStrindex", 1, Int), ("value", 2, Message(&ANY_VALUE)), ("unitStrindex", 3, Int)];

/// A request of v1.7.
pub(super) static V1_7: &[Field] =
    &[("resourceProfiles", 1, Message(&RESOURCE_PROFILES_7)), ("dictionary", 2, Message(&DICTIONARY_7))];
static DICTIONARY_7: &[Field] = &[
    ("mappingTable", 1, Message(&MAPPING)),
    ("locationTable", 2, Message(&LOCATION_7)),
    ("functionTable", 3, Message(&FUNCTION)),
    ("linkTable", 4, Message(&LINK)),
    ("stringTable", 5, Text),
    ("attributeTable", 6, Message(&KEY_VALUE)),
];
static RESOURCE_PROFILES_7: &[Field] =
    &[("resource", 1, Message(&RESOURCE)), ("scopeProfiles", 2, Message(&SCOPE_PROFILES_7))];
static SCOPE_PROFILES_7: &[Field] = &[("scope", 1, Message(&SCOPE)), ("profiles", 2, Message(&PROFILE_7))];
static PROFILE_7: &[Field] = &[
    ("sampleType", 1, Message(&VALUE_TYPE)),
    ("sample", 2, Message(&SAMPLE_7)),
    ("locationIndices", 3, Int),
    ("timeNanos", 4, Int),
    ("durationNanos", 5, Int),
    ("periodType", 6, Message(&VALUE_TYPE)),
    ("period", 7, Int),
    ("profileId", 10, Id(32)),
    ("attributeIndices", 14, Int),
];
static SAMPLE_7: &[Field] = &[
    ("locationsStartIndex", 1, Int),
    ("locationsLength", 2, Int),
    ("value", 3, Int),
    ("attributeIndices", 4, Int),
    ("linkIndex", 5, Int),
    ("timestampsUnixNano", 6, Int),
];
static LOCATION_7: &[Field] = &[
    ("mappingIndex", 1, Int),
    ("address", 2, Int),
    ("line", 3, Message(&LINE)),
    ("attributeIndices", 5, Int),
];

/// A dump of v1.6.
pub(super) static V1_6: &[Field] = &[
    ("resourceProfiles", 1, Message(&RESOURCE_PROFILES_7)),
    ("mappingTable", 2, Message(&MAPPING)),
    ("locationTable", 3, Message(&LOCATION_7)),
    ("functionTable", 4, Message(&FUNCTION)),
    ("linkTable", 5, Message(&LINK)),
    ("stringTable", 6, Text),
    ("attributeTable", 7, Message(&KEY_VALUE)),
];

/// A request of v1.4 or v1.5.
pub(super) static V1_4: &[Field] = &[("resourceProfiles", 1, Message(&RESOURCE_PROFILES_4))];
static RESOURCE_PROFILES_4: &[Field] =
    &[("resource", 1, Message(&RESOURCE)), ("scopeProfiles", 2, Message(&SCOPE_PROFILES_4))];
static SCOPE_PROFILES_4: &[Field] = &[("scope", 1, Message(&SCOPE)), ("profiles", 2, Message(&PROFILE_4))];
static PROFILE_4: &[Field] = &[
    ("sampleType", 1, Message(&VALUE_TYPE)),
    ("sample", 2, Message(&SAMPLE_7)),
    ("mappingTable", 3, Message(&MAPPING)),
    ("locationTable", 4, Message(&LOCATION_7)),
    ("locationIndices", 5, Int),
    ("functionTable", 6, Message(&FUNCTION)),
    ("attributeTable", 7, Message(&KEY_VALUE)),
    ("linkTable", 9, Message(&LINK)),
    ("stringTable", 10, Text),
    ("timeNanos", 11, Int),
    ("durationNanos", 12, Int),
    ("periodType", 13, Message(&VALUE_TYPE)),
    ("period", 14, Int),
    ("profileId", 17, Id(32)),
    ("attributes", 18, Message(&KEY_VALUE)),
    ("attributeIndices", 22, Int),
];

/// A request of v1.3.
pub(super) static V1_3: &[Field] = &[("resourceProfiles", 1, Message(&RESOURCE_PROFILES_3))];
static RESOURCE_PROFILES_3: &[Field] =
    &[("resource", 1, Message(&RESOURCE)), ("scopeProfiles", 2, Message(&SCOPE_PROFILES_3))];
static SCOPE_PROFILES_3: &[Field] = &[("scope", 1, Message(&SCOPE)), ("profiles", 2, Message(&CONTAINER))];
static CONTAINER: &[Field] = &[
    ("profileId", 1, Id(32)),
    ("startTimeUnixNano", 2, Fixed64),
    ("endTimeUnixNano", 3, Fixed64),
    ("attributes", 4, Message(&KEY_VALUE)),
    ("profile", 8, Message(&PROFILE_3)),
];
static PROFILE_3: &[Field] = &[
    ("sampleType", 1, Message(&VALUE_TYPE_3)),
    ("sample", 2, Message(&SAMPLE_3)),
    ("mapping", 3, Message(&MAPPING_3)),
    ("location", 4, Message(&LOCATION_3)),
    ("function", 5, Message(&FUNCTION_3)),
    ("stringTable", 6, Text),
    ("timeNanos", 9, Int),
    ("durationNanos", 10, Int),
    ("periodType", 11, Message(&VALUE_TYPE_3)),
    ("period", 12, Int),
    ("locationIndices", 15, Int),
    ("attributeTable", 16, Message(&KEY_VALUE)),
    ("linkTable", 18, Message(&LINK)),
];
static VALUE_TYPE_3: &[Field] = &[("type", 1, Int), ("unit", 2, Int)];
static SAMPLE_3: &[Field] = &[
    ("locationIndex", 1, Int),
    ("value", 2, Int),
    ("label", 3, Message(&LABEL_3)),
    ("locationsStartIndex", 7, Int),
    ("locationsLength", 8, Int),
    ("attributes", 10, Int),
    ("link", 12, Int),
    ("timestampsUnixNano", 13, Int),
];
static LABEL_3: &[Field] = &[("key", 1, Int), ("str", 2, Int), ("num", 3, Int)];
static MAPPING_3: &[Field] = &[
    ("memoryStart", 2, Int),
    ("memoryLimit", 3, Int),
    ("fileOffset", 4, Int),
    ("filename", 5, Int),
    ("buildId", 6, Int),
    ("attributes", 12, Int),
];
static LOCATION_3: &[Field] = &[
    ("mappingIndex", 2, Int),
    ("address", 3, Int),
    ("line", 4, Message(&LINE)),
    ("typeIndex", 6, Int),
    ("attributes", 7, Int),
];
static FUNCTION_3: &[Field] =
    &[("name", 2, Int), ("systemName", 3, Int), ("filename", 4, Int), ("startLine", 5, Int)];
