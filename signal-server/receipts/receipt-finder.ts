import { ChorusError } from '#shared/errors.ts';
import type { ReceiptList, ReceiptQuery } from '#shared/wire/receipt-list.ts';
import type { LogService } from '../log/log-service.ts';
import { isTold } from '../machine/storage-state.ts';
import type { ModelCatalog } from '../placement/model-catalog.ts';
import type { ListedReceipts } from '../store/listed-receipts.ts';
import { entriesBetween } from './log-entries.ts';

/** Entries that are listed at once: the server answers nothing else while they are written. */
const STEP = 1024;

export interface ReceiptFinderDeps {
  readonly log: Pick<LogService, 'tile' | 'status' | 'verifierKey'>;
  readonly listed: ListedReceipts;
  readonly catalog: Pick<ModelCatalog, 'get'>;
}

/** Finds receipts of the log by what their entries say. */
export class ReceiptFinder {
  readonly #deps: ReceiptFinderDeps;
  #listing: Promise<void> = Promise.resolve();

  constructor(deps: ReceiptFinderDeps) {
    this.#deps = deps;
  }

  /** The receipts of the query, among all that were in the log when it came. Throws `bad-message` for no such `before`. */
  async find(query: ReceiptQuery): Promise<ReceiptList> {
    const { listed, catalog, log } = this.#deps;
    const size = await this.catchUp().catch((thrown: unknown) => {
      // While the disk takes nothing, what was listed before can be read.
      if (!isTold(thrown)) throw thrown;
      return listed.size(log.verifierKey) ?? 0;
    });
    const found = await listed.find(query);
    if (found === null) throw new ChorusError('bad-message', `entry ${query.before} of the log is no receipt`);
    const receipts = found.map(({ manifest, ...entry }) => ({
      ...entry,
      model: manifest,
      modelName: catalog.get(manifest)?.manifest.name ?? null,
    }));
    return { size, receipts };
  }

  /** Lists what came into the log since; answers how many entries it has. After the first time there is little to do. */
  async catchUp(): Promise<number> {
    const { size } = this.#deps.log.status;
    // One after another: entries that the one before has listed are not listed again.
    this.#listing = this.#listing.catch(() => undefined).then(() => this.#listUpTo(size));
    await this.#listing;
    return size;
  }

  async #listUpTo(size: number): Promise<void> {
    const { log, listed } = this.#deps;
    let known = listed.size(log.verifierKey);
    // A log never has fewer entries than were listed, unless its folder is an older copy.
    if (known === null || known > log.status.size) {
      // At once: a log without entries leaves nothing to list that would take the place of what there is.
      await listed.put(log.verifierKey, 0, 0, []);
      known = 0;
    }
    for (let start = known; start < size; start += STEP) {
      const end = Math.min(size, start + STEP);
      await listed.put(log.verifierKey, start, end, await entriesBetween(log, start, end));
    }
  }
}
