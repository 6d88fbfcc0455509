import { utf8 } from '../bytes.ts';
import type { PeerId } from '../ids.ts';
import type { DrawCount, RosterCommitment } from './draw-form.ts';

const ROSTER_HEADER = 'chorus-roster-entry/1';
const DRAWS_HEADER = 'chorus-draws-entry/1';
/** Draws of one entry: it has to fit the log's 64 KiB. */
export const MAX_DRAWS_PER_ENTRY = 256;

/** The log's entry that commits to a roster. */
export function rosterEntryBytes({
  sections,
  root,
  publicKey,
  atMs,
}: Pick<RosterCommitment, 'sections' | 'root' | 'publicKey' | 'atMs'>): Uint8Array<ArrayBuffer> {
  return utf8([ROSTER_HEADER, sections, root, publicKey, atMs, ''].join('\n'));
}

/** `drawn` from a roster; `chosen` by the server; `refused`; `abandoned` by the requester before it had an answer. */
export const OUTCOMES = ['drawn', 'chosen', 'refused', 'abandoned'] as const;

/** A request for a draw as the log has it: whose and which it was, and the nonce that tells it from others. */
export interface LoggedDraw {
  readonly count: DrawCount;
  readonly requester: PeerId;
  readonly series: string;
  /** The requester's own number of it. */
  readonly number: number;
  readonly nonce: string;
  readonly outcome: (typeof OUTCOMES)[number];
}

/** The log's entry of draws, in the order in which they were made. */
export function drawsEntryBytes(draws: readonly LoggedDraw[]): Uint8Array<ArrayBuffer> {
  const lines = draws.map(({ count: { epoch, network, number: counted }, requester, series, number, nonce, outcome }) =>
    [epoch, network, counted, requester, series, number, nonce, outcome].join(' '),
  );
  return utf8([DRAWS_HEADER, ...lines, ''].join('\n'));
}

const LINE = new RegExp(
  `^([0-9a-f]{16}) ([A-Za-z0-9+/]{22}==) ([1-9]\\d{0,14}) ([0-9a-f]{64}) ([0-9a-f]{16}) ([1-9]\\d{0,14}) ([0-9a-f]{32}) (${OUTCOMES.join('|')})$`,
);

/** The draws of an entry; null for one of another kind. */
export function parseDrawsEntry(bytes: Uint8Array): LoggedDraw[] | null {
  const lines = new TextDecoder().decode(bytes).split('\n');
  if (lines[0] !== DRAWS_HEADER || lines.at(-1) !== '' || lines.length > MAX_DRAWS_PER_ENTRY + 2) return null;
  const draws: LoggedDraw[] = [];
  for (const line of lines.slice(1, -1)) {
    const match = LINE.exec(line);
    if (match === null) return null;
    const [, epoch, network, counted, requester, series, number, nonce, outcome] = match;
    draws.push({
      count: { epoch: epoch!, network: network!, number: Number(counted) },
      requester: requester as PeerId,
      series: series!,
      number: Number(number),
      nonce: nonce!,
      outcome: outcome as LoggedDraw['outcome'],
    });
  }
  return draws;
}

/** What is wrong with a draw beside what the log has. */
export type LogFault =
  /** The log has it not: it was hidden. */
  | 'not-logged'
  /** The network's number, or the requester's, was given to another draw too. */
  | 'number-twice'
  /** A number of its network before it is missing in the log: a request was hidden. */
  | 'number-left-out'
  /** One of its requester's own numbers is missing: that request never reached the server, or was hidden. */
  | 'request-left-out';

/** Whether a logged request is of the same network's sequence as a draw, or of the same run of its requester. */
export function isOfSequence({ count: { epoch, network } }: LoggedDraw, { count }: LoggedDraw): boolean {
  return count.epoch === epoch && count.network === network;
}
export function isOfSeries(draw: LoggedDraw, { requester, series }: LoggedDraw): boolean {
  return requester === draw.requester && series === draw.series;
}

/**
 * Compares a draw with what a log has of its sequence, `logged` in the log's order: all of it, or, if not `isWhole`, what came last. Null
 * where all is right: it is there once, under its numbers, and so is each number before it, of its network and of its requester.
 */
export function faultInLog(draw: LoggedDraw, logged: readonly LoggedDraw[], isWhole = true): LogFault | null {
  const isSame = (other: LoggedDraw): boolean =>
    (['requester', 'series', 'number', 'nonce', 'outcome'] as const).every((name) => other[name] === draw[name]) &&
    other.count.number === draw.count.number &&
    isOfSequence(draw, other);
  if (!logged.some(isSame)) return 'not-logged';
  const ofNetwork = logged.filter((other) => isOfSequence(draw, other)).map(({ count }) => count.number);
  const ofRequester = logged.filter((other) => isOfSeries(draw, other)).map(({ number }) => number);
  const [inNetwork, inRequester] = [
    upTo(ofNetwork, draw.count.number, isWhole),
    upTo(ofRequester, draw.number, isWhole),
  ];
  if (inNetwork.isTwice || inRequester.isTwice) return 'number-twice';
  if (inNetwork.isLeftOut) return 'number-left-out';
  return inRequester.isLeftOut ? 'request-left-out' : null;
}

function upTo(numbers: readonly number[], last: number, isWhole: boolean) {
  const within = numbers.filter((number) => number <= last);
  const distinct = new Set(within).size;
  const first = isWhole ? 1 : Math.min(...within);
  return { isTwice: distinct < within.length, isLeftOut: distinct < last - first + 1 };
}
