import type { ConversationStore, KeptById } from '../../web/conversations/conversation-store.ts';
import { keptConversationSchema, type KeptId } from '../../web/conversations/kept-conversation.ts';
import { keptEvidenceSchema } from '../../web/conversations/kept-evidence.ts';

export interface MemoryConversationStore extends ConversationStore {
  /** Told to other tabs. */
  readonly announced: (KeptId | null)[];
}

/** Conversations that are parsed and copied as those of a device are, and forgotten with the test. */
export function memoryConversationStore(): MemoryConversationStore {
  const announced: (KeptId | null)[] = [];
  return {
    announced,
    conversations: memoryRecords((stored) => keptConversationSchema.parse(stored)),
    evidence: memoryRecords((stored) => keptEvidenceSchema.parse(stored)),
    exclusively: (work) => work(),
    announce: (deleted) => void announced.push(deleted),
  };
}

function memoryRecords<Value>(parse: (stored: unknown) => Value): KeptById<Value> {
  const records = new Map<KeptId, unknown>();
  const get = async (key: KeptId): Promise<Value | null> => {
    const stored = records.get(key);
    return stored === undefined ? null : parse(structuredClone(stored));
  };
  return {
    get,
    async all() {
      const found = await Promise.all([...records.keys()].map(async (key) => [key, await get(key)] as const));
      return new Map(found.map(([key, value]) => [key, value!]));
    },
    async put(key, value) {
      records.set(key, structuredClone(value));
      return true;
    },
    async delete(key) {
      records.delete(key);
    },
  };
}
