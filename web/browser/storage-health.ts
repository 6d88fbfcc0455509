import type { NotKept } from './not-kept.ts';

/** What all of a page's databases and locks know together, so that a storage that does not answer costs its 2 s once. */
export class StorageHealth {
  /** Set once something was asked in vain; nothing is asked again until the page is loaded anew. */
  silence: NotKept | null = null;
}
