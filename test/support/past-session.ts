import type { Digest, PeerId, SessionId } from '#shared/ids.ts';
import type { PastSession } from '../../signal-server/store/history-store.ts';

export const volunteer = 'a'.repeat(64) as PeerId;
/** A session of `volunteer` that has ended well. */
export const session: PastSession = {
  id: '0'.repeat(32) as SessionId,
  model: 'b'.repeat(64) as Digest,
  requester: 'c'.repeat(64) as PeerId,
  issuedMs: 1,
  endedMs: 2,
  outcome: 'done',
  tokens: 7,
  positions: 7,
  tokensPerSecond: 3.5,
  primaries: [volunteer],
  shadows: [],
  faults: [],
  checks: { checked: 3, settled: 1, unchecked: 2, disputed: 0 },
};
