import { ChorusError } from '#shared/errors.ts';
import { decodeEntries, TILE_WIDTH } from '#shared/log/tile-path.ts';
import { parseReceiptEntry, type ReceiptEntry } from '#shared/receipt/receipt-entry.ts';
import type { LogService } from '../log/log-service.ts';
import type { LoggedEntry } from '../store/listed-receipts.ts';

/**
 * The receipts among entries [start, end) of a log that has come as far as `end`, the newest first. They are read a
 * bundle at a time, as far as the caller wants them.
 */
export async function* newestFirst(
  log: Pick<LogService, 'tile'>,
  start: number,
  end: number,
): AsyncGenerator<LoggedEntry, void, undefined> {
  for (let bundle = Math.ceil(end / TILE_WIDTH) - 1; bundle >= Math.floor(start / TILE_WIDTH); bundle--) {
    const first = bundle * TILE_WIDTH;
    const width = Math.min(TILE_WIDTH, end - first);
    const bytes = width < 1 ? null : await log.tile({ level: 'entries', index: bundle, width });
    if (bytes === null) continue;
    const entries = decodeEntries(bytes);
    for (let at = entries.length - 1; at >= Math.max(0, start - first); at--) {
      const entry = parse(entries[at]!);
      if (entry !== null) yield { index: first + at, ...entry };
    }
  }
}

/** The receipts among entries [start, end) of a log that has come as far as `end`. Throws `internal` if one is missing. */
export async function entriesBetween(
  log: Pick<LogService, 'tile'>,
  start: number,
  end: number,
): Promise<LoggedEntry[]> {
  const found: LoggedEntry[] = [];
  for (let first = start - (start % TILE_WIDTH); first < end; first += TILE_WIDTH) {
    const width = Math.min(TILE_WIDTH, end - first);
    const bytes = await log.tile({ level: 'entries', index: first / TILE_WIDTH, width });
    if (bytes === null) throw new ChorusError('internal', `the log does not show its entries from ${first} on`);
    for (const [at, bytesOfEntry] of decodeEntries(bytes).entries()) {
      const entry = first + at < start ? null : parse(bytesOfEntry);
      if (entry !== null) found.push({ index: first + at, ...entry });
    }
  }
  return found;
}

/** Null for an entry of another kind, of a newer version perhaps. */
function parse(bytes: Uint8Array<ArrayBuffer>): ReceiptEntry | null {
  try {
    return parseReceiptEntry(bytes);
  } catch {
    return null;
  }
}
