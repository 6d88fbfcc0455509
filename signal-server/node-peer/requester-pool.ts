import type { Identity } from '#shared/crypto/identity.ts';
import { generateKeyPair, identityOf } from '#shared/crypto/web-crypto.ts';
import { ChorusError } from '#shared/errors.ts';
import type { PeerId } from '#shared/ids.ts';
import type { Conversation, ConversationOptions, ServedModel } from '#shared/peer/requester/requester.ts';
import { createNodeRequester, type NodeRequester } from './requester-program.ts';

/** Somebody to ask in the name of, for one answer: a key of its own, and connections that nothing else uses. */
export interface Asker {
  readonly identity: Identity;
  readonly requester: {
    openConversation(model: ServedModel, options?: ConversationOptions): Pick<Conversation, 'generate' | 'close'>;
  };
  /** Ends its connections; to be called once its conversation is closed. */
  close(): void;
}

export interface RequesterPool {
  /** Throws `all-busy` while `most` askers are out, and as `connectControl` does. */
  take(): Promise<Asker>;
  /** Ends all connections. */
  stop(): void;
}

export interface RequesterPoolOptions {
  readonly serverUrl: URL;
  /** As of `connectPeer`. */
  readonly ownToken?: string;
  /** Askers that may be out at once. */
  readonly most: number;
  /** Makes a key known as one of the server's own; called before it connects. */
  readonly enlist: (id: PeerId) => void;
}

type Connected = NodeRequester & { readonly identity: Identity };

/**
 * The server's own requesters, a fresh key for each answer, so that no two answers can be linked by the key that asked and a
 * hidden session cannot be told by its own. One is kept connected for the next answer, which then need not wait for it.
 */
export function createRequesterPool({ most, enlist, ...connection }: RequesterPoolOptions): RequesterPool {
  const aborters = new Set<AbortController>();
  let taken = 0;
  let isStopped = false;
  let spare: Promise<Connected> | null = null;

  async function connect(): Promise<Connected> {
    const identity = await identityOf(await generateKeyPair());
    if (isStopped) throw new ChorusError('cancelled', 'the server is stopping');
    enlist(identity.id);
    const aborter = new AbortController();
    aborters.add(aborter);
    const { signal } = aborter;
    try {
      const { close, ...program } = await createNodeRequester({ ...connection, identity, kind: 'gateway', signal });
      const end = (): void => {
        aborters.delete(aborter);
        close();
      };
      return { identity, ...program, close: end };
    } catch (error) {
      aborters.delete(aborter);
      throw error;
    }
  }

  /** Whoever takes it hears of its failure; until then there is nobody to tell. */
  function prepare(): void {
    if (isStopped) return;
    spare = connect();
    spare.catch(() => undefined);
  }

  async function connectedBy(waiting: Promise<Connected> | null): Promise<Connected> {
    const prepared = await waiting?.catch(() => null);
    if (prepared?.control.state.type === 'open') return prepared;
    prepared?.close();
    return connect();
  }

  prepare();
  return {
    async take() {
      if (taken >= most) {
        throw new ChorusError('all-busy', `there are already ${taken} answers under way`);
      }
      taken += 1;
      const waiting = connectedBy(spare);
      prepare();
      const connected = await waiting.catch((error: unknown) => {
        taken -= 1;
        throw error;
      });
      const { identity, requester } = connected;
      let isOut = true;
      return {
        identity,
        requester,
        close() {
          if (!isOut) return;
          isOut = false;
          taken -= 1;
          connected.close();
        },
      };
    },
    stop() {
      isStopped = true;
      for (const aborter of aborters) aborter.abort();
      aborters.clear();
    },
  };
}
