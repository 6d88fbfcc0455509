import type { PeerId } from '#shared/ids.ts';
import type { Link, Links } from '#shared/peer/link/link.ts';
import type { PeerMessage } from '#shared/wire/peer-message.ts';

/** The message that goes out in place of another, once it is known; null where the message goes out as it is. */
export type Forge = (message: PeerMessage, to: PeerId) => Promise<readonly PeerMessage[]> | null;

/** The links of a peer that does not always send what its engine says. */
export function lyingLinks(links: Links, forge: Forge): Links {
  const wrapped = new WeakMap<Link, Link>();
  const wrap = (link: Link): Link => {
    const found = wrapped.get(link) ?? lyingLink(link, forge);
    wrapped.set(link, found);
    return found;
  };
  return {
    connect: async (peer, options) => wrap(await links.connect(peer, options)),
    onLink: (listener) => links.onLink((link) => listener(wrap(link))),
  };
}

function lyingLink(link: Link, forge: Forge): Link {
  return {
    peer: link.peer,
    transport: link.transport,
    get roundTripMs() {
      return link.roundTripMs;
    },
    get traffic() {
      return link.traffic;
    },
    get isClosed() {
      return link.isClosed;
    },
    async send(message) {
      const forged = forge(message, link.peer);
      if (forged === null) return link.send(message);
      for (const each of await forged) if (!link.isClosed) await link.send(each);
    },
    onMessage: (listener) => link.onMessage(listener),
    onClose: (listener) => link.onClose(listener),
    close: (reason) => link.close(reason),
  };
}
