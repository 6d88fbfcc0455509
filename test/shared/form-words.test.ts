import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { firstFault, formWords, parseForm } from '#shared/form-words.ts';
import { codeOf } from '../support/code-of.ts';

const form = z.strictObject({
  name: z.string().min(2).max(5).optional(),
  count: z.int().min(1).max(9).optional(),
  share: z.number().gt(0).lt(1).optional(),
  kind: z.enum(['tab', 'cli']).optional(),
  list: z.array(z.string()).max(2).optional(),
  url: z.url().optional(),
  code: z
    .string()
    .regex(/^[a-f]+$/)
    .optional(),
  even: z.number().multipleOf(2).optional(),
  either: z.union([z.boolean(), z.null()]).optional(),
  nothing: z.never().optional(),
  own: z
    .string()
    .refine((text) => text === 'x', 'must be an x')
    .optional(),
});

describe('what is wrong with a value', () => {
  it.each([
    [{ name: 5 }, 'name: must be a text'],
    [{ name: 'a' }, 'name: too short; at least 2 characters are allowed'],
    [{ name: 'abcdef' }, 'name: too long; at most 5 characters are allowed'],
    [{ count: 1.5 }, 'count: must be a whole number'],
    [{ count: 0 }, 'count: too small; at least 1 is allowed'],
    [{ share: 1 }, 'share: too large; less than 1 is allowed'],
    [{ share: 0 }, 'share: too small; more than 0 is allowed'],
    [{ kind: 'page' }, 'kind: must be "tab" or "cli"'],
    [{ list: ['a', 2] }, 'list.1: must be a text'],
    [{ list: ['a', 'b', 'c'] }, 'list: too long; at most 2 items are allowed'],
    [{ url: 'example' }, 'url: must be a web address'],
    [{ code: 'xyz' }, 'code: not in the form it must have'],
    [{ even: 3 }, 'even: must be a multiple of 2'],
    [{ either: 'x' }, 'either: not in a form that is known'],
    [{ nothing: 1 }, 'nothing: must not be there'],
    [{ own: 'y' }, 'own: must be an x'],
    [{ other: 1 }, 'the whole of it: has what does not belong there: other'],
    [null, 'the whole of it: must be an object'],
    [undefined, 'the whole of it: missing; it must be an object'],
  ])('%j', (value, words) => {
    const { error } = form.safeParse(value, { error: formWords });
    expect(firstFault(error!, 'the whole of it')).toBe(words);
  });

  it('names a field that is missing', () => {
    const { error } = z.object({ salt: z.string() }).safeParse({}, { error: formWords });
    expect(firstFault(error!, 'it')).toBe('salt: missing; it must be a text');
  });

  it('is thrown under a code, with the name of the value', () => {
    const parse = () => parseForm(form, { count: 0 }, 'the order', 'bad-message');
    expect(codeOf(parse)).toBe('bad-message');
    expect(parse).toThrow('the order is not in its form; count: too small; at least 1 is allowed');
    expect(parseForm(form, { count: 1 }, 'the order', 'bad-message')).toEqual({ count: 1 });
  });
});
