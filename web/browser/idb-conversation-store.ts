import { z } from 'zod';
import type { Clock } from '#shared/clock.ts';
import type { ConversationStore } from '../conversations/conversation-store.ts';
import {
  keptConversationSchema,
  keptIdSchema,
  type KeptConversation,
  type KeptId,
} from '../conversations/kept-conversation.ts';
import { keptEvidenceSchema, type KeptEvidence } from '../conversations/kept-evidence.ts';
import { KeptRecords } from './kept-records.ts';
import type { StorageFault } from './not-kept.ts';
import { oneTabAtATime } from './one-tab-at-a-time.ts';
import type { StorageHealth } from './storage-health.ts';

const NAME = 'chorus-conversations';
const changeSchema = z.object({ deleted: keptIdSchema.nullable() });

export interface IdbConversationStoreOptions {
  readonly clock: Clock;
  readonly health: StorageHealth;
  /** Told once, with the first that is not kept or cannot be read. */
  readonly onNotKept: (fault: StorageFault) => void;
  /** Another tab of this browser has changed something, and deleted this conversation. */
  readonly onChange: (deleted: KeptId | null) => void;
  readonly name?: string;
}

/** Conversations in IndexedDB, as far as the browser keeps them. */
export function createIdbConversationStore({
  clock,
  health,
  onNotKept,
  onChange,
  name = NAME,
}: IdbConversationStoreOptions): ConversationStore {
  let isTold = false;
  const tellOnce = (fault: StorageFault): void => {
    if (!isTold) onNotKept(fault);
    isTold = true;
  };
  const records = <Value>(store: string, parse: (stored: unknown) => Value) =>
    new KeptRecords<KeptId, Value>({ database: `${name}-${store}`, store, parse, onNotKept: tellOnce, health, clock });
  const channel = openChannel(name);
  channel?.addEventListener('message', ({ data }) => {
    const change = changeSchema.safeParse(data);
    if (change.success) onChange(change.data.deleted);
  });
  return {
    conversations: records<KeptConversation>('texts', (stored) => keptConversationSchema.parse(stored)),
    evidence: records<KeptEvidence>('evidence', (stored) => keptEvidenceSchema.parse(stored)),
    exclusively: (work) => oneTabAtATime(name, work, { health, clock }),
    announce: (deleted) => channel?.postMessage({ deleted }),
  };
}

/** Null where the browser gives this page none, as it may where it keeps nothing. */
function openChannel(name: string): BroadcastChannel | null {
  try {
    return new BroadcastChannel(name);
  } catch {
    return null;
  }
}
