// Selectors: which series a query is about, as label matchers in PromQL's syntax, for example
// `{service_name="checkout", pod=~"a-.*"}`. The server is the authority; the page parses only to
// show matchers as chips, and falls back to plain text for what it does not understand.

export const OPERATORS = ['=', '!=', '=~', '!~'] as const;
export type Operator = (typeof OPERATORS)[number];

export interface Matcher {
  name: string;
  operator: Operator;
  value: string;
}

const MATCHER = /\s*(?:([A-Za-z_][\w.]*)|"((?:[^"\\]|\\.)*)")\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(,|$)/y;

/** The matchers of a selector with or without braces, or null if it is not one. */
export function parseSelector(text: string): Matcher[] | null {
  const trimmed = text.trim();
  const braced = trimmed.startsWith('{') && trimmed.endsWith('}') && trimmed.length >= 2;
  const inner = braced ? trimmed.slice(1, -1).trim() : trimmed;
  const matchers: Matcher[] = [];
  MATCHER.lastIndex = 0;
  while (MATCHER.lastIndex < inner.length) {
    const found = MATCHER.exec(inner);
    if (!found) return null;
    matchers.push({
      name: found[1] ?? unescape(found[2] ?? ''),
      operator: found[3] as Operator,
      value: unescape(found[4] ?? ''),
    });
  }
  return matchers;
}

/** The selector of these matchers; no matchers give the empty text, which selects everything. */
export function formatSelector(matchers: readonly Matcher[]): string {
  if (matchers.length === 0) return '';
  const parts = matchers.map(
    ({ name, operator, value }) => `${isBareName(name) ? name : quote(name)}${operator}${quote(value)}`,
  );
  return `{${parts.join(', ')}}`;
}

/** The matchers with `name` pinned to `value`, replacing an earlier equality on the same label. */
export function withEqual(matchers: readonly Matcher[], name: string, value: string): Matcher[] {
  const others = matchers.filter((matcher) => !(matcher.name === name && matcher.operator === '='));
  return [...others, { name, operator: '=', value }];
}

/** The value `name` is pinned to, if it is. */
export function equalTo(matchers: readonly Matcher[] | null, name: string): string | undefined {
  return matchers?.find((matcher) => matcher.name === name && matcher.operator === '=')?.value;
}

function isBareName(name: string): boolean {
  return /^[A-Za-z_]\w*$/.test(name);
}

function quote(text: string): string {
  return `"${text.replace(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`))}"`;
}

function unescape(text: string): string {
  return text.replace(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char === 't' ? '\t' : char));
}
