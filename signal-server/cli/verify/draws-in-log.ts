import {
  faultInLog,
  isOfSequence,
  isOfSeries,
  parseDrawsEntry,
  type LogFault,
  type LoggedDraw,
} from '#shared/draw/draw-log.ts';
import { toChorusError } from '#shared/errors.ts';
import type { Check } from '#shared/receipt/verify/check.ts';
import type { Route } from '#shared/route/route.ts';
import type { OpenedLog } from './opened-log.ts';

export type DrawsCheck = Omit<Check, 'name'> & { readonly name: 'log-draws' };

/** Entries that are read at once. */
const STEP = 2_048;
/** Entries that are read at most to find the first request of a network; a server writes one a second at most. */
const MOST_ENTRIES = 32_768;

const WORDS: Readonly<Record<Exclude<LogFault, 'request-left-out'>, string>> = {
  'not-logged': 'the log does not have this draw: the server hid it, or made another for the same request',
  'number-twice': 'the log has two requests under one number: one of them is a draw beside this',
  'number-left-out': 'a request of this network before it is missing in the log: the server hid it',
};

/** A draw as the log should have it; null for a route whose replicas the server chose. */
export function loggedDrawOf({ draw, requester }: Pick<Route, 'draw' | 'requester'>): LoggedDraw | null {
  if (draw?.by !== 'roster') return null;
  const { request, count } = draw;
  const { series, number, nonce } = request;
  return { count, requester: requester.id, series, number, nonce, outcome: 'drawn' };
}

/**
 * Looks through the log for the requests of a draw's network and of its requester: all that went before must be there, each number
 * once. `named` is the size of the checkpoint that the request named, `index` the entry of the receipt: the draw lies between. Never rejects.
 */
export async function checkDrawsInLog(
  draw: LoggedDraw,
  { named, index }: { readonly named: number; readonly index: number },
  open: () => Promise<OpenedLog>,
  signal: AbortSignal,
): Promise<DrawsCheck> {
  try {
    const { client, head } = await open();
    const logged: LoggedDraw[] = [];
    const read = async (start: number, end: number): Promise<void> => {
      const found = (await client.entries(head, start, end, signal)).flatMap((bytes) => parseDrawsEntry(bytes) ?? []);
      logged.unshift(...found.filter((other) => isOfSequence(draw, other) || isOfSeries(draw, other)));
    };
    const end = Math.min(head.size, index + STEP);
    let start = end;
    while (start > 0 && end - start < MOST_ENTRIES && (start > named || !isWhole(draw, logged))) {
      const from = Math.max(0, start - STEP);
      await read(from, start);
      start = from;
    }
    const whole = start === 0 || isWhole(draw, logged);
    const fault = faultInLog(draw, logged, whole);
    if (fault === 'request-left-out') {
      return checkOf(
        'not-checked',
        'a request of this requester before it is missing in the log: it never reached the server, or was hidden',
      );
    }
    if (fault !== null) return checkOf('failed', WORDS[fault]);
    const before = `request ${draw.count.number} of its network, ${draw.number} of its requester`;
    return whole
      ? checkOf('passed', `${before}: all before it are in the log, each once`)
      : checkOf(
          'not-checked',
          `${before}: the last of those before are in the log; the first lie more than ${MOST_ENTRIES} entries back`,
        );
  } catch (thrown) {
    return checkOf('not-checked', `the log could not be read: ${toChorusError(thrown).message}`);
  }
}

/** True once the first request of both sequences was found: what lies before it is of neither. */
function isWhole(draw: LoggedDraw, logged: readonly LoggedDraw[]): boolean {
  return (
    logged.some((other) => isOfSequence(draw, other) && other.count.number === 1) &&
    logged.some((other) => isOfSeries(draw, other) && other.number === 1)
  );
}

const checkOf = (status: Check['status'], detail: string): DrawsCheck => ({ name: 'log-draws', status, detail });
