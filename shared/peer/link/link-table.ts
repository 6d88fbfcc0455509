import { toChorusError, type ChorusError } from '../../errors.ts';
import type { PeerId } from '../../ids.ts';
import type { PeerMessage } from '../../wire/peer-message.ts';
import type { Link, Links } from './link.ts';

export interface LinkTableHandlers {
  onMessage(from: PeerId, message: PeerMessage): void;
  /** The last link to `peer` is gone, or a message to it could not go out. */
  onLost(peer: PeerId): void;
}

/** Links by peer, for an engine that knows peers only. */
export class LinkTable {
  readonly #links: Links;
  readonly #handlers: LinkTableHandlers;
  readonly #open = new Map<PeerId, Map<Link, () => void>>();
  readonly #stopListening: () => void;
  #isClosed = false;

  constructor(links: Links, handlers: LinkTableHandlers) {
    this.#links = links;
    this.#handlers = handlers;
    this.#stopListening = links.onLink((link) => this.#add(link));
  }

  /** Makes sure that there is a link to `peer`, and answers with its transport; rejects as `Links.connect` does. */
  async connect(peer: PeerId, webrtc: boolean, signal: AbortSignal): Promise<Link['transport']> {
    const link = await this.#links.connect(peer, { webrtc, signal });
    this.#add(link);
    return link.transport;
  }

  /**
   * Sends in the order of the calls. A message that cannot go out is reported as the loss of its peer, later. `onSent` is
   * called when the message is within the link's window, or lost.
   */
  send(to: PeerId, message: PeerMessage, onSent: () => void = () => undefined): void {
    const link = this.linkTo(to);
    if (link === undefined) {
      queueMicrotask(() => {
        onSent();
        this.#lost(to);
      });
      return;
    }
    link.send(message).then(onSent, (error: unknown) => {
      onSent();
      this.#onSendFailed(link, toChorusError(error));
    });
  }

  /** The newest open link to `peer`. */
  linkTo(peer: PeerId): Link | undefined {
    return [...(this.#open.get(peer)?.keys() ?? [])].findLast((link) => !link.isClosed);
  }

  /** Stops listening; the links stay open for others who use them. */
  close(): void {
    this.#isClosed = true;
    this.#stopListening();
    for (const links of this.#open.values()) for (const stop of links.values()) stop();
    this.#open.clear();
  }

  #add(link: Link): void {
    const { peer } = link;
    if (this.#isClosed || link.isClosed || this.#open.get(peer)?.has(link)) return;
    const stopMessages = link.onMessage((message) => this.#handlers.onMessage(peer, message));
    const stopClose = link.onClose(() => this.#remove(link));
    const links = this.#open.get(peer) ?? new Map<Link, () => void>();
    links.set(link, () => {
      stopMessages();
      stopClose();
    });
    this.#open.set(peer, links);
  }

  #remove(link: Link): void {
    const links = this.#open.get(link.peer);
    links?.get(link)?.();
    links?.delete(link);
    if (links === undefined || links.size > 0) return;
    this.#open.delete(link.peer);
    this.#lost(link.peer);
  }

  /** A message that the codec refuses is our own mistake, but its session cannot go on either. */
  #onSendFailed(link: Link, error: ChorusError): void {
    if (error.code === 'link-lost') this.#remove(link);
    else this.#lost(link.peer);
  }

  #lost(peer: PeerId): void {
    if (!this.#isClosed) this.#handlers.onLost(peer);
  }
}
