import type { PeerId } from '#shared/ids.ts';
import type { TrustStore } from '../store/trust-store.ts';

/** What hidden sessions tell of a key, to be kept. */
export interface HiddenTrust {
  /** Spans in which its rows stood beside an anchor's and agreed. */
  witness(id: PeerId, numericClass: string, spans: number): Promise<void>;
  /** It failed one; `reason` is for people. */
  failHidden(id: PeerId, numericClass: string, reason: string): Promise<void>;
}

/** Credit comes with the session's end, as of any other; a failure makes the key new again. */
export function hiddenTrustOf(store: Pick<TrustStore, 'reset'>): HiddenTrust {
  return { witness: () => Promise.resolve(), failHidden: (id) => store.reset(id) };
}
