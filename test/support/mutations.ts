import { utf8 } from '#shared/bytes.ts';

const deep = (depth: number): unknown => (depth === 0 ? [] : [deep(depth - 1)]);

/** What stands in the place of something else: of other types, at and beyond limits, and long. */
const STRANGE: readonly unknown[] = [
  ...[null, true, false, 0, -0, 1, -1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53), 1e300, -1e300, 5e-324],
  ...[
    '',
    ' ',
    '\0',
    '=',
    'AAAA',
    'A',
    '\u{10ffff}',
    '\ud800',
    '__proto__',
    'constructor',
    'layer.999',
    'a'.repeat(70_000),
  ],
  ...[
    [],
    {},
    [[]],
    [null],
    { a: 1 },
    deep(40),
    Array.from({ length: 5_000 }, () => 0),
    JSON.parse('{"__proto__":{"a":1}}') as unknown,
  ],
];

type Container = Record<string, unknown> | unknown[];

/** A copy of a JSON value in which one thing is another: left out, strange, doubled, or changed a little. */
export function mutatedJson(value: unknown, chance: () => number): unknown {
  const copy: unknown = structuredClone(value);
  const places: [Container, string | number][] = [];
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    const container = node as Container;
    const keys = Array.isArray(container) ? [...container.keys()] : Object.keys(container);
    for (const key of keys) {
      places.push([container, key]);
      visit((container as Record<string | number, unknown>)[key]);
    }
  };
  visit(copy);
  const [container, key] = places[Math.floor(chance() * places.length)]!;
  const held = container as Record<string | number, unknown>;
  const kind = Math.floor(chance() * 5);
  if (kind === 0 && Array.isArray(container)) container.splice(Number(key), 1);
  else if (kind === 0) delete held[key];
  else if (kind === 1 && Array.isArray(container)) container.splice(Number(key), 0, structuredClone(held[key]));
  else if (kind === 1) held[`${key}x`] = held[key];
  else if (kind === 2) {
    const [from, at] = places[Math.floor(chance() * places.length)]!;
    held[key] = structuredClone((from as Record<string | number, unknown>)[at]);
  } else if (kind === 3 && typeof held[key] === 'number') held[key] = held[key] * 2 ** Math.floor(chance() * 64 - 32);
  else if (kind === 3 && typeof held[key] === 'string') held[key] = mutatedText(held[key], chance);
  else held[key] = STRANGE[Math.floor(chance() * STRANGE.length)];
  return copy;
}

function mutatedText(text: string, chance: () => number): string {
  const at = Math.floor(chance() * (text.length + 1));
  const other = String.fromCharCode(Math.floor(chance() * 128));
  return [text.slice(0, at) + other + text.slice(at + 1), text.slice(0, at), text + text][Math.floor(chance() * 3)]!;
}

/** Bytes of which some are others, missing, or there twice. */
export function mutatedBytes(bytes: Uint8Array, chance: () => number): Uint8Array<ArrayBuffer> {
  let now = [...bytes];
  for (let changes = 1 + Math.floor(chance() * 3); changes > 0; changes--) {
    const at = Math.floor(chance() * now.length);
    const kind = Math.floor(chance() * 6);
    if (kind < 3 && now.length > 0) now[at] = kind === 0 ? Math.floor(chance() * 256) : kind === 1 ? 0xff : 0;
    else if (kind === 3) now = now.slice(0, at);
    else if (kind === 4) now.splice(at, 0, ...now.slice(at, at + 1 + Math.floor(chance() * 8)));
    else now.splice(at, 1 + Math.floor(chance() * 8));
  }
  return Uint8Array.from(now);
}

/** The bytes of a JSON value. */
export const jsonBytes = (value: unknown): Uint8Array<ArrayBuffer> => utf8(JSON.stringify(value));
