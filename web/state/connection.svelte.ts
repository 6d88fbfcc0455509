import type { PeerId } from '#shared/ids.ts';

/** How this page stands with the signal server and with other peers. Written by the program that joins, shown by views. */
export class Connection {
  status: 'off' | 'connecting' | 'open' | 'reconnecting' | 'closed' = $state('off');
  /** This page's own id, once it has joined. */
  id: PeerId | null = $state(null);
  /** Why it is not open, in words. */
  detail = $state('');
  /** Links by how they run now. */
  directLinks = $state(0);
  relayedLinks = $state(0);
  /** Links that were tried over WebRTC and came up over the relay. */
  fellBack = $state(0);
}
