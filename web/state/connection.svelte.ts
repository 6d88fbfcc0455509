import { SvelteSet } from 'svelte/reactivity';
import type { PeerId } from '#shared/ids.ts';
import type { Link } from '#shared/peer/link/link.ts';

/** How this page stands with the signal server and with other peers. Written by the program that joins, shown by views. */
export class PageConnection {
  status: 'off' | 'connecting' | 'open' | 'reconnecting' | 'closed' = $state('off');
  /** This page's own id, once it has joined. */
  id: PeerId | null = $state(null);
  /** Why it is not open, in words. */
  detail = $state('');
  /** Milliseconds by which this device's clock is ahead of the server's; null before the server was heard. */
  clockAheadMs: number | null = $state(null);
  /** Links by how they run now. */
  directLinks = $state(0);
  relayedLinks = $state(0);
  /** Peers with whom WebRTC was tried in vain and the relay has taken over since. */
  readonly fellBack = new SvelteSet<PeerId>();

  /** The relay took over from WebRTC. */
  fallBack(peer: PeerId): void {
    this.fellBack.add(peer);
  }

  /** Counts the link until it closes. A direct one, like the end of the relayed one, ends the fall back to the relay. */
  addLink(link: Pick<Link, 'peer' | 'transport' | 'onClose'>): void {
    const { peer, transport } = link;
    const count = transport === 'webrtc' ? 'directLinks' : 'relayedLinks';
    this[count]++;
    if (transport === 'webrtc') this.fellBack.delete(peer);
    link.onClose(() => {
      this[count]--;
      if (transport === 'relay') this.fellBack.delete(peer);
    });
  }
}
