import type { z } from 'zod';
import { ChorusError, type ErrorCode } from './errors.ts';

type Sized = Extract<z.core.$ZodRawIssue, { code: 'too_big' | 'too_small' }>;

const TYPES: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'an object',
  record: 'an object',
};
const UNITS: Readonly<Record<string, string>> = { string: 'characters', array: 'items', set: 'items', map: 'entries' };
const MAX_NAMED = 8;

/**
 * Faults of values in words that follow a field's name and a colon: given to `safeParse` as `error`, it takes the place of
 * the parser's own sentences. Where a schema has words of its own, those stand.
 */
export const formWords: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.expected === 'never') return 'must not be there';
      return must(issue.input, TYPES[issue.expected] ?? issue.expected);
    case 'invalid_value':
      return must(issue.input, issue.values.slice(0, MAX_NAMED).map(literal).join(' or '));
    case 'too_big':
      return `${isCounted(issue) ? 'too long' : 'too large'}; ${issue.inclusive === false ? 'less than' : 'at most'} ${amount(issue, issue.maximum)}`;
    case 'too_small':
      return `${isCounted(issue) ? 'too short' : 'too small'}; ${issue.inclusive === false ? 'more than' : 'at least'} ${amount(issue, issue.minimum)}`;
    case 'invalid_format':
      return issue.format === 'url' ? 'must be a web address' : 'not in the form it must have';
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'unrecognized_keys':
      return `has what does not belong there: ${issue.keys.slice(0, MAX_NAMED).join(', ').slice(0, 200)}`;
    default:
      return 'not in a form that is known';
  }
};

/** The value in its form; `what` names it. Throws with `code` and the first fault. */
export function parseForm<Form extends z.ZodType>(
  form: Form,
  value: unknown,
  what: string,
  code: ErrorCode,
): z.output<Form> {
  const parsed = form.safeParse(value, { error: formWords });
  if (parsed.success) return parsed.data;
  throw new ChorusError(code, `${what} is not in its form; ${firstFault(parsed.error, 'the whole of it')}`);
}

/** The first fault that a parser found, with the field it is in; `whole` names the value itself. */
export function firstFault({ issues }: Pick<z.ZodError, 'issues'>, whole: string): string {
  const [issue] = issues;
  return issue === undefined ? `${whole}: not in a form that is known` : describeFault(issue, whole);
}

/** A fault with the field it is in; `whole` names the value itself. */
export function describeFault({ path, message }: Pick<z.core.$ZodIssue, 'path' | 'message'>, whole: string): string {
  return `${path.join('.').slice(0, 200) || whole}: ${message}`;
}

function must(input: unknown, wanted: string): string {
  return input === undefined ? `missing; it must be ${wanted}` : `must be ${wanted}`;
}

function literal(value: z.core.util.Primitive): string {
  return typeof value === 'string' ? `"${value}"` : String(value);
}

function isCounted({ origin }: Sized): boolean {
  return origin in UNITS;
}

function amount(issue: Sized, limit: number | bigint): string {
  return isCounted(issue) ? `${limit} ${UNITS[issue.origin]} are allowed` : `${limit} is allowed`;
}
