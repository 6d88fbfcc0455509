import { equalBytes } from '../bytes.ts';
import { toChorusError, type ChorusError } from '../errors.ts';
import type { LogHead } from './log-head.ts';
import { treeRoot } from './merkle.ts';
import { VerifiedTiles, type FetchBytes } from './verified-tiles.ts';

/** Heads that wait to be proved parts of one log; where there are more, the one seen longest ago is let go. */
export const MAX_KNOWN_HEADS = 16;

/** The heads that a reader has seen of one log, each signed by it. */
export interface KnownLog {
  /**
   * The newest head that begins with all that was seen; more only where the log could not be asked how they belong
   * together. The one seen last comes first.
   */
  readonly heads: readonly LogHead[];
  /** Two heads of which neither begins with the other, the one known before first. */
  readonly split: readonly [LogHead, LogHead] | null;
  /** What it showed did not fit what it had signed, and nothing has shown otherwise since. */
  readonly isDoubted: boolean;
}

export const UNKNOWN_LOG: KnownLog = { heads: [], split: null, isDoubted: false };

/** The outcome of a client's look at a log. The first three are as it should be. */
export type LogView =
  | { readonly kind: 'first-seen'; readonly head: LogHead }
  | { readonly kind: 'same'; readonly head: LogHead }
  /** `head` begins with all that `from` has. */
  | { readonly kind: 'grown'; readonly head: LogHead; readonly from: LogHead }
  /** The log has signed two histories: both notes together prove it to anyone. */
  | { readonly kind: 'split-view'; readonly remembered: LogHead; readonly shown: LogHead }
  /** The log shows an older state than it did before; a copy that is behind, or a log that was put back. */
  | { readonly kind: 'shrunk'; readonly remembered: LogHead; readonly shown: LogHead }
  /** The answer is not this log's, or does not fit together: nothing is known of the log. */
  | { readonly kind: 'unusable'; readonly error: ChorusError }
  | { readonly kind: 'unreachable'; readonly error: ChorusError };

/** The outcome of a look without asking the log. */
export type OfflineView =
  | Extract<LogView, { kind: 'first-seen' | 'same' | 'split-view' }>
  /** Heads that were never compared: only the log can show that one begins with the other. */
  | { readonly kind: 'unproven'; readonly remembered: LogHead; readonly shown: LogHead }
  /** The log was found unreliable before, and has not been asked again. */
  | { readonly kind: 'doubted'; readonly head: LogHead };

/** A view, and what is known after it. */
export interface HeldLog<View> {
  readonly view: View;
  readonly known: KnownLog;
}

/** Holds a head to what is known of its log, with nothing but the heads themselves. */
export function holdOffline(known: KnownLog, shown: LogHead): HeldLog<OfflineView> {
  if (known.split !== null) return { view: splitView(known.split), known };
  const { heads } = known;
  const forked = heads.find((head) => head.size === shown.size && !isSame(head, shown));
  if (forked !== undefined) return { view: splitView([forked, shown]), known: { ...known, split: [forked, shown] } };
  const newest = newestOf(heads);
  if (newest === null) return { view: { kind: 'first-seen', head: shown }, known: { ...known, heads: [shown] } };
  const isKnown = heads.some((head) => isSame(head, shown));
  const after = isKnown ? known : withHead(known, shown);
  if (known.isDoubted) return { view: { kind: 'doubted', head: shown }, known: after };
  // One of several that were never compared is not unchanged: the log may have signed two histories.
  const other = newestOf(heads.filter((head) => !isSame(head, shown)));
  if (other === null) return { view: { kind: 'same', head: shown }, known };
  return { view: { kind: 'unproven', remembered: other, shown }, known: after };
}

/**
 * Holds the head that a log shows now to all that is known of it: every head must be a part of it, by the log's own
 * tiles. Where that is shown, this head stands for all of them. Rejects only if `signal` is aborted.
 */
export async function holdToLog(
  known: KnownLog,
  shown: LogHead,
  fetchBytes: FetchBytes,
  signal: AbortSignal,
): Promise<HeldLog<LogView>> {
  const { view, known: knownNow } = holdOffline(known, shown);
  if (view.kind === 'split-view' || view.kind === 'first-seen') return { view, known: knownNow };
  const newest = newestOf(known.heads)!;
  const doubted: KnownLog = { ...knownNow, isDoubted: true };
  if (shown.size < newest.size) return { view: { kind: 'shrunk', remembered: newest, shown }, known: doubted };
  const tiles = new VerifiedTiles(shown, fetchBytes, signal);
  for (const head of known.heads.filter(({ size }) => size < shown.size)) {
    try {
      const rootThen = await tiles.withHashes((read) => treeRoot(head.size, read));
      // These tiles are the shown head's own, so what differs is what the log has signed.
      if (!equalBytes(rootThen, head.root)) {
        return { view: splitView([head, shown]), known: { ...known, split: [head, shown] } };
      }
    } catch (thrown) {
      const failed = failedView(thrown, signal);
      return { view: failed, known: failed.kind === 'unusable' ? doubted : knownNow };
    }
  }
  const proved: KnownLog = { heads: [shown], split: null, isDoubted: false };
  if (newest.size === shown.size) return { view: { kind: 'same', head: shown }, known: proved };
  return { view: { kind: 'grown', head: shown, from: newest }, known: proved };
}

/** The view of a log that could not be read, with the reason. Throws if `signal` is aborted. */
export function failedView(
  thrown: unknown,
  signal: AbortSignal,
): Extract<LogView, { kind: 'unusable' | 'unreachable' }> {
  signal.throwIfAborted();
  const error = toChorusError(thrown, 'server-lost');
  return { kind: UNUSABLE.has(error.code) ? 'unusable' : 'unreachable', error };
}

/** The meaning of a view, in a sentence for people. */
export function describeLogView(view: LogView | OfflineView): string {
  switch (view.kind) {
    case 'first-seen':
      return `Seen for the first time, with ${entries(view.head.size)}. From now on it has to build on that.`;
    case 'same':
      return `Unchanged, with ${entries(view.head.size)}.`;
    case 'grown':
      return `Grown from ${entries(view.from.size)} to ${entries(view.head.size)}; nothing before was changed.`;
    case 'split-view':
      return (
        `The log shows two different histories: what it signed before, with ${entries(view.remembered.size)}, is no ` +
        `part of what it signs now, with ${entries(view.shown.size)}. Somebody is being shown something else. ` +
        `Keep both checkpoints: together they prove it.`
      );
    case 'shrunk':
      return (
        `The log shows ${entries(view.shown.size)}, but it had signed ${entries(view.remembered.size)} before. Either ` +
        `this is an old copy of it, or entries were taken back. Keep both checkpoints.`
      );
    case 'unusable':
      return `What was shown is not this log: ${view.error.message}.`;
    case 'unreachable':
      return `The log cannot be reached: ${view.error.message}.`;
    case 'unproven':
      return (
        `Signed with ${entries(view.shown.size)} here, and with ${entries(view.remembered.size)} before; only the log ` +
        `itself can show that one begins with the other.`
      );
    case 'doubted':
      return (
        'What this log showed before did not fit what it had signed, and nothing has shown otherwise since. ' +
        'Ask the log itself again.'
      );
  }
}

const UNUSABLE = new Set<ChorusError['code']>([
  'bad-message',
  'too-large',
  'bad-signature',
  'wrong-peer',
  'digest-mismatch',
]);

const splitView = ([remembered, shown]: readonly [LogHead, LogHead]) =>
  ({ kind: 'split-view', remembered, shown }) as const;

const isSame = (a: LogHead, b: LogHead): boolean => a.size === b.size && equalBytes(a.root, b.root);

function newestOf(heads: readonly LogHead[]): LogHead | null {
  return heads.reduce<LogHead | null>(
    (newest, head) => (newest === null || head.size > newest.size ? head : newest),
    null,
  );
}

/** The largest stays, whenever it was seen. */
function withHead(known: KnownLog, shown: LogHead): KnownLog {
  const heads = [shown, ...known.heads];
  const newest = newestOf(heads);
  const dropped = heads.length > MAX_KNOWN_HEADS ? heads.findLast((head) => head !== newest) : undefined;
  return { ...known, heads: heads.filter((head) => head !== dropped) };
}

function entries(size: number): string {
  return size === 1 ? '1 entry' : `${size.toLocaleString('en')} entries`;
}
