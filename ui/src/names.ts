// Function names: shorter forms that fit narrow frames, the package a name belongs to, and hashes
// of names and paths. Names come demangled from Go, Rust, C, C++, Java, Python and the kernel.

/** Forms of a name from the full one to the barest, without repetitions. */
export function shorten(name: string): string[] {
  const plain = stripArguments(stripGenerics(name));
  const local = plain.replace(/^[^(<]*\/(?=[^/\s]+)/, '');
  const owned = local.includes('::') ? lastParts(local, '::', 2) : lastParts(local, '.', 2);
  const bare = local.includes('::') ? lastParts(local, '::', 1) : lastParts(local, '.', 1);
  const forms: string[] = [];
  for (const form of [name, local, owned, bare]) {
    if (form !== '' && form !== forms[forms.length - 1]) forms.push(form);
  }
  return forms.length > 0 ? forms : [name];
}

/** The form for lists: without directories and type arguments, still naming package or type. */
export function listName(name: string): string {
  return stripArguments(stripGenerics(name)).replace(/^[^(<]*\/(?=[^/\s]+)/, '') || name;
}

/** The package, module or class of a name, so that related functions share a colour. */
export function scopeOf(name: string): string {
  const plain = stripGenerics(name);
  const colons = plain.lastIndexOf('::');
  if (colons > 0) return plain.slice(0, colons);
  const match = /^(.*\/[^./(]+|[^.(]+(?=\.)|[a-z]+(?=_))/.exec(plain);
  return match?.[1] ?? plain;
}

function lastParts(name: string, separator: string, count: number): string {
  const parts = splitOutsideParentheses(name, separator);
  return parts.slice(-count).join(separator);
}

function splitOutsideParentheses(name: string, separator: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < name.length; at++) {
    const char = name[at];
    if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (depth === 0 && at > start && name.startsWith(separator, at) && at + separator.length < name.length) {
      parts.push(name.slice(start, at));
      start = at + separator.length;
      at = start - 1;
    }
  }
  parts.push(name.slice(start));
  return parts;
}

/**
 * A name without balanced `<…>`; `<A as B>::c` becomes `A::c`. Operators such as `operator<` and
 * `operator->` leave brackets unbalanced: then the name stays as it is.
 */
function stripGenerics(name: string): string {
  if (!name.includes('<')) return name;
  const qualified = /^<(.+?) as .+>::/.exec(name);
  let source = name;
  if (qualified) {
    const close = closingBracket(name, 0);
    if (close > 0) source = `${qualified[1]}${name.slice(close + 1)}`;
  } else if (name.startsWith('<')) {
    const close = closingBracket(name, 0);
    if (close > 0) source = name.slice(1, close) + name.slice(close + 1);
  }
  let out = '';
  let depth = 0;
  for (const char of source) {
    if (char === '<') depth++;
    else if (char === '>') depth--;
    else if (depth === 0) out += char;
    if (depth < 0) return name;
  }
  return depth === 0 ? out.replace(/::$/, '').replace('::::', '::') : name;
}

function closingBracket(name: string, open: number): number {
  let depth = 0;
  for (let at = open; at < name.length; at++) {
    if (name[at] === '<') depth++;
    else if (name[at] === '>' && name[at - 1] !== '-' && --depth === 0) return at;
  }
  return -1;
}

/** Drops the parameter list of a C++ name; Go's receivers `(*T)` stay. */
function stripArguments(name: string): string {
  if (!name.endsWith(')') && !name.endsWith(') const')) return name;
  let depth = 0;
  for (let at = name.lastIndexOf(')'); at >= 0; at--) {
    if (name[at] === ')') depth++;
    else if (name[at] === '(' && --depth === 0) {
      const before = name[at - 1];
      return at > 0 && before !== '.' && before !== '/' ? name.slice(0, at) : name;
    }
  }
  return name;
}

/** FNV-1a, 32 bits; `seed` gives independent hashes of the same text. */
export function hashText(text: string, seed = 0): number {
  let hash = 2166136261 ^ seed;
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 16777619);
  }
  return hash >>> 0;
}
