import { describe, expect, it } from 'vitest';
import { concatBytes, utf8 } from '#shared/bytes.ts';
import { MAX_JSON_DEPTH, parseStrictJson } from '#shared/crypto/strict-json.ts';
import { codeOf } from '../../support/code-of.ts';

const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

describe('JSON of which every reader makes the same', () => {
  it.each([
    ' { "a" : [ 1 , -2.5e3 , true , null , "x\\n\\"\\\\" ] , "b" : { } } ',
    '{"a":{"c":1},"b":{"c":1}}',
    '"\\ud83d\\ude00"',
    '9007199254740991',
    '[1.5,1e300,0.1]',
    nested(MAX_JSON_DEPTH),
  ])('is read as JSON.parse reads it: %s', (text) => {
    expect(parseStrictJson(utf8(text))).toEqual(JSON.parse(text));
  });

  it.each([
    ['a key twice', '{"a":1,"b":2,"a":3}'],
    ['a key twice, once with an escape', '{"a":1,"\\u0061":2}'],
    ['a key twice, deep within', '[{"x":[{"a":{},"a":[]}]}]'],
    ['a byte order mark', '\ufeff{}'],
    ['half of a surrogate pair', '["\\ud800"]'],
    ['half of a surrogate pair as a key', '{"\\udc00":1}'],
    ['a number beyond doubles', '[1e999]'],
    ['a whole number that doubles do not tell apart', '[9007199254740993]'],
    ['a whole number below those', '[-9007199254740992]'],
    ['a level too many', nested(MAX_JSON_DEPTH + 1)],
    ['no JSON', '{"a":1,}'],
  ])('is not %s', (_, text) => {
    expect(codeOf(() => parseStrictJson(utf8(text)))).toBe('bad-message');
  });

  it('is UTF-8', () => {
    expect(codeOf(() => parseStrictJson(concatBytes(utf8('"'), Uint8Array.of(0xff), utf8('"'))))).toBe('bad-message');
  });
});
