import { fromStrictBase64, toBase64 } from '../bytes.ts';
import { ChorusError } from '../errors.ts';
import type { Hash } from './merkle.ts';

/** The content of a log's signed head (C2SP tlog-checkpoint). */
export interface Checkpoint {
  /** A URL without scheme; also the name of the log's key. */
  readonly origin: string;
  readonly size: number;
  readonly root: Hash;
}

/** The note's text: origin, size in decimal and root in base64, a line each. */
export function checkpointText({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${toBase64(root)}\n`;
}

/** Reads a note's text. Extension lines are let through, as the spec asks. Throws `bad-message`. */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin, size, root, ...rest] = text.split('\n');
  const isWhole = origin && size && root && rest.length > 0 && rest.at(-1) === '' && !rest.slice(0, -1).includes('');
  if (!isWhole) throw bad('it is not an origin, a size and a root, each on a line');
  if (!/^(0|[1-9]\d{0,15})$/.test(size) || !Number.isSafeInteger(Number(size))) throw bad('its size is not a number');
  const hash = fromStrictBase64(root);
  if (hash?.length !== 32) throw bad('its root is not 32 bytes in base64');
  return { origin, size: Number(size), root: hash };
}

function bad(reason: string): ChorusError {
  return new ChorusError('bad-message', `bad checkpoint: ${reason}`);
}
