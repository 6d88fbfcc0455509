import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { toChorusError } from '#shared/errors.ts';
import { fetchLogHead, parseLogHead, type LogHead } from '#shared/log/log-head.ts';
import {
  describeLogView,
  failedView,
  holdOffline,
  holdToLog,
  UNKNOWN_LOG,
  type HeldLog,
  type KnownLog,
  type LogView,
  type OfflineView,
} from '#shared/log/log-history.ts';
import type { NoteKey } from '#shared/log/signed-note.ts';
import type { FetchBytes } from '#shared/log/verified-tiles.ts';
import type { Check } from '#shared/receipt/verify/check.ts';
import { printable } from '#shared/receipt/verify/printable.ts';
import { fetchLogKey, logFilesAt } from '../../log/fetch-log.ts';
import { LogMemory } from './log-memory.ts';

export type HistoryCheck = Omit<Check, 'name'> & { readonly name: 'log-history' };

type View = LogView | OfflineView;

/** Another command may remember more of the log while this one asks it; what that one knows counts too then. */
const MAX_ATTEMPTS = 5;

/** The outcome of holding a log to what it has shown before. */
export interface LogHistory {
  readonly check: HistoryCheck;
  readonly kind: View['kind'] | null;
  /** Notes that do not fit together, the one known before first; null where there are no two. */
  readonly checkpoints: readonly [string, string] | null;
  /** The file that keeps what is known; null where nothing was to be remembered. */
  readonly memory: string | null;
}

export interface HistoryOptions {
  /** Null where nothing is to be remembered. */
  readonly memoryFolder: string | null;
  readonly signal: AbortSignal;
}

/** The outcome where there was nothing to hold to anything. */
export function unheld(reason: string): LogHistory {
  return { check: checkOf('not-checked', reason), kind: null, checkpoints: null, memory: null };
}

/**
 * Holds a head, which its log has signed, to what is remembered of the log, and both to what it shows at `logUrl`, if that
 * is given. Rejects only if the signal is aborted.
 */
export function holdHead(
  shown: LogHead,
  key: NoteKey,
  { logUrl, ...options }: HistoryOptions & { readonly logUrl: URL | null },
): Promise<LogHistory> {
  const { signal } = options;
  return hold(key, options, async (known) => {
    const held = holdOffline(known, shown);
    if (logUrl === null || held.view.kind === 'split-view') return held;
    const files = logFilesAt(logUrl);
    try {
      const newest = await fetchLogHead(key, files, verify, signal);
      return await holdToLog(held.known, newest, files, signal);
    } catch (thrown) {
      const view = failedView(thrown, signal);
      return { view, known: view.kind === 'unusable' ? { ...held.known, isDoubted: true } : held.known };
    }
  });
}

/** Holds the head that a server has just proved an entry with to what is remembered of its log, by the server's tiles. */
export async function holdNewHead(
  note: string,
  server: URL,
  options: HistoryOptions & { readonly memoryFolder: string },
): Promise<LogHistory> {
  const { signal, memoryFolder } = options;
  const files: FetchBytes = logFilesAt(server);
  try {
    const key = await fetchLogKey(server, signal);
    const other = await new LogMemory(memoryFolder, key).ofOtherKey();
    if (other !== null) return otherKey(key, other);
    const shown = await parseLogHead(note, key, verify);
    return await hold(key, options, (known) => holdToLog(known, shown, files, signal));
  } catch (thrown) {
    return told(failedView(thrown, signal), null, null);
  }
}

/** Lines for people about a log that is not what it was; none where all is well. */
export function describeHistory({ check, checkpoints, memory }: LogHistory): string[] {
  if (checkpoints === null) return [];
  const kept = memory === null ? 'Both checkpoints:' : `Both checkpoints, which ${memory} keeps:`;
  const notes = checkpoints.flatMap((note) => ['', ...note.split('\n').map((line) => printable(line).trimEnd())]);
  const advice =
    check.status === 'failed' ? ['Do not rely on this log before that is cleared up. Show both to others.', ''] : [];
  return [...advice, kept, ...notes];
}

async function hold(
  key: NoteKey,
  { memoryFolder }: HistoryOptions,
  compare: (known: KnownLog) => HeldLog<View> | Promise<HeldLog<View>>,
): Promise<LogHistory> {
  const memory = memoryFolder === null ? null : new LogMemory(memoryFolder, key);
  for (let attempt = 1; ; attempt++) {
    let before = UNKNOWN_LOG;
    try {
      if (memory !== null) before = await memory.read();
    } catch (thrown) {
      return { ...unheld(''), check: checkOf('failed', toChorusError(thrown).message), memory: memory!.path };
    }
    const { view, known } = await compare(before);
    if (memory === null || known === before) return told(view, memory, null);
    const written = await memory.write(known).catch(toChorusError);
    if (written === true) return told(view, memory, null);
    if (written !== false) return told(view, memory, `It could not be remembered: ${written.message}.`);
    if (attempt === MAX_ATTEMPTS) return told(view, memory, 'It could not be remembered: other commands write there.');
  }
}

function told(view: View, memory: LogMemory | null, more: string | null): LogHistory {
  const detail = [describeLogView(view), ...(more === null ? [] : [more])].join(' ');
  const checkpoints = 'remembered' in view ? ([view.remembered.note, view.shown.note] as const) : null;
  return {
    check: checkOf(STATUS[view.kind], detail),
    kind: view.kind,
    checkpoints: view.kind === 'unproven' ? null : checkpoints,
    memory: memory?.path ?? null,
  };
}

function otherKey({ name }: NoteKey, path: string): LogHistory {
  const detail =
    `The log ${name} shows another key than the one that ${path} remembers. Ask its operator whether it was begun ` +
    `anew; if it was, remove that file.`;
  return { ...unheld(''), check: checkOf('failed', detail) };
}

const STATUS: Readonly<Record<View['kind'], Check['status']>> = {
  'first-seen': 'not-checked',
  same: 'passed',
  grown: 'passed',
  unproven: 'not-checked',
  doubted: 'failed',
  'split-view': 'failed',
  shrunk: 'failed',
  unusable: 'failed',
  unreachable: 'not-checked',
};

const checkOf = (status: Check['status'], detail: string): HistoryCheck => ({ name: 'log-history', status, detail });
