import type { z } from 'zod';
import { ApiError } from '../http/api-error.ts';

/** More than any client sends. */
const MAX_FIELDS = 256;

/**
 * The fields of an object that say something and are served: null stands for a field that is not there, and so do, of
 * fields that are not served, the values named harmless. Any other value of such a one throws ApiError with its name.
 */
export function takeSupported(
  given: object,
  unsupported: Readonly<Record<string, readonly unknown[]>>,
  path = '',
): Record<string, unknown> {
  if (Object.keys(given).length > MAX_FIELDS) {
    const message = `The request has an object of more than ${MAX_FIELDS} fields.`;
    throw new ApiError(400, 'invalid_body', message, { param: path === '' ? null : path.slice(0, -1) });
  }
  const supported: [string, unknown][] = [];
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    if (value === null) continue;
    const harmless = Object.hasOwn(unsupported, name) ? unsupported[name] : undefined;
    if (harmless === undefined) supported.push([name, value]);
    else if (!harmless.some((allowed) => isLike(allowed, value))) throw refusal(`${path}${name}`, harmless);
  }
  return Object.fromEntries(supported);
}

/** Looks no deeper into `value` than `allowed` goes. */
function isLike(allowed: unknown, value: unknown): boolean {
  if (typeof allowed !== 'object' || allowed === null) return allowed === value;
  if (typeof value !== 'object' || value === null || Array.isArray(allowed) !== Array.isArray(value)) return false;
  const [expected, found] = [Object.entries(allowed), new Map(Object.entries(value))];
  return expected.length === found.size && expected.every(([key, each]) => isLike(each, found.get(key)));
}

function refusal(param: string, harmless: readonly unknown[]): ApiError {
  const allowed = harmless.map((value) => JSON.stringify(value)).join(' or ');
  const message = `Unsupported parameter: '${param}' is not served by this network${allowed && `, except as ${allowed}`}.`;
  return new ApiError(400, 'unsupported_parameter', message, { param });
}

/** What is wrong with a request, by the name of the parameter. */
export function toParameterError(issue: z.core.$ZodIssue, body: unknown): ApiError {
  if (issue.code === 'unrecognized_keys') {
    const param = formatPath([...issue.path, issue.keys[0] ?? '']);
    return new ApiError(400, 'unknown_parameter', `Unknown parameter: '${param}'.`, { param });
  }
  const param = formatPath(issue.path);
  const value = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], body);
  if (value === undefined && ['invalid_type', 'invalid_value', 'invalid_union'].includes(issue.code)) {
    return new ApiError(400, 'missing_required_parameter', `Missing required parameter: '${param}'.`, { param });
  }
  const code = issue.code === 'invalid_type' ? 'invalid_type' : 'invalid_value';
  return new ApiError(400, code, `Invalid value for '${param}': ${issue.message}.`, { param });
}

function formatPath(path: readonly PropertyKey[]): string {
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${String(key)}`)).join('');
}
