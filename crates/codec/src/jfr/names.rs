//! Names of generated classes without what makes them different in each run.

/// The name of a class, or of the library that stands in a class's place for native frames.
pub(super) fn stable(class: &str) -> String {
    if let Some(number) = class.strip_prefix("jdk/internal/reflect/GeneratedMethodAccessor")
        && is_number(number)
    {
        return "jdk/internal/reflect/GeneratedMethodAccessor_".to_owned();
    }
    if let Some(at) = class.rfind("$$Lambda") {
        let (enclosing, rest) = class.split_at(at + "$$Lambda".len());
        let dollar = rest.starts_with('$');
        if is_lambda(rest.trim_start_matches('$')) {
            return format!("{enclosing}{}_", if dollar { "$" } else { "" });
        }
    }
    let file = class.strip_suffix(" (deleted)").unwrap_or(class);
    let file = file.strip_prefix('.').unwrap_or(file);
    let file = file.strip_prefix("/tmp/").unwrap_or(file);
    let Some(library) = file.strip_suffix(".so") else { return class.to_owned() };
    if library.starts_with("libzstd-jni-") && library.rsplit('-').next().is_some_and(is_number) {
        return "libzstd-jni-_.so".to_owned();
    }
    let amazon = "amazonCorrettoCryptoProvider";
    if library.strip_prefix("lib").unwrap_or(library).starts_with(amazon) {
        return format!("lib{amazon}_.so");
    }
    if library.starts_with("libasyncProfiler-") {
        return "libasyncProfiler-_.so".to_owned();
    }
    class.to_owned()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What follows the name of a lambda's class: `669.0x0000000800fd7318`, `33/123`, `.0x7f`, `14`.
fn is_lambda(rest: &str) -> bool {
    let address = |text: &str| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    match rest.split_once(['.', '/']) {
        Some((number, rest)) => (number.is_empty() || is_number(number)) && address(rest),
        None => is_number(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn numbers_of_generated_classes_are_taken_out() {
        let cases = [
            ("java/lang/Thread",                                        "java/lang/Thread"),
            ("jdk/internal/reflect/GeneratedMethodAccessor31",          "jdk/internal/reflect/GeneratedMethodAccessor_"),
            ("org/example/OrderService$$Lambda$669.0x0000000800fd7318", "org/example/OrderService$$Lambda$_"),
            ("App$$Lambda$33/1234",                                     "App$$Lambda$_"),
            ("Fib$$Lambda.0x00007ffa600c4da0",                          "Fib$$Lambda_"),
            ("App$$LambdaForm",                                         "App$$LambdaForm"),
            ("libzstd-jni-1.5.1-16931311898282279136.so",               "libzstd-jni-_.so"),
            ("./tmp/libamazonCorrettoCryptoProvider109b39cf33c563eb.so (deleted)", "libamazonCorrettoCryptoProvider_.so"),
            ("libasyncProfiler-linux-x64-17b9a1d8.so",                  "libasyncProfiler-_.so"),
            ("libc-2.31.so",                                            "libc-2.31.so"),
        ];
        for (class, want) in cases {
            assert_eq!(stable(class), want);
        }
    }
}
