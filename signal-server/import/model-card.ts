import type { Manifest } from '#shared/model/manifest.ts';
import { webAddressSchema } from '#shared/model/model-source.ts';

/** The facts in a model card's front matter, first paragraph and list of sources. */
export interface CardFacts {
  readonly licence: string;
  readonly description: string;
  readonly origin: string | null;
}

/** Reads the facts a manifest carries from a Hugging Face style card; what is not there is empty. */
export function readCard(card: Uint8Array | null): CardFacts {
  const text = card === null ? '' : new TextDecoder().decode(card).replaceAll('\r\n', '\n');
  const [, frontMatter = '', body = text] = /^---\n([\s\S]*?)\n---\n([\s\S]*)$/.exec(text) ?? [];
  const licence = /^licen[sc]e:[ \t]*["']?([^"'\n]*)/m.exec(frontMatter)?.[1]?.trim() ?? '';
  const stated =
    /^origin:[ \t]*["']?([^"'\s]+)/m.exec(frontMatter) ?? /^- \*\*Repository:\*\*[ \t]*<?([^\s<>]+)/m.exec(body);
  const origin = webAddressSchema.safeParse(stated?.[1]);
  const paragraphs = body.split(/\n\s*\n/).map((paragraph) => paragraph.trim());
  const prose = paragraphs.find((paragraph) => /^[\p{L}*_]/u.test(paragraph)) ?? '';
  return {
    licence: licence.slice(0, 200),
    description: prose.replaceAll(/\s+/g, ' ').replaceAll(/[*_`]/g, '').slice(0, 2000),
    origin: origin.success ? origin.data : null,
  };
}

/** The facts of a file that has no card beside it. */
export interface CardSource {
  readonly file: string;
  readonly quantization: Manifest['pins']['quantization'];
  readonly onlyOn: 'wasm' | null;
  readonly general: {
    readonly 'general.name'?: string | undefined;
    readonly 'general.description'?: string | undefined;
    readonly 'general.license'?: string | undefined;
    readonly 'general.source.url'?: string | undefined;
    readonly 'general.repo_url'?: string | undefined;
  };
}

/** A card of what a file says of itself, in the form of those that repositories have. */
export function makeCard({ file, quantization, onlyOn, general }: CardSource): Uint8Array<ArrayBuffer> {
  const line = (text: string) => text.replaceAll(/\s+/g, ' ').trim();
  const licence = general['general.license'];
  const origin = webAddressSchema.safeParse(general['general.repo_url'] ?? general['general.source.url']);
  const front = [
    ...(licence === undefined ? [] : [`license: ${JSON.stringify(line(licence).slice(0, 200))}`]),
    ...(origin.success ? [`origin: ${origin.data}`] : []),
  ];
  const name = line(general['general.name'] ?? '') || file;
  const paragraphs = [
    `---\n${[...front, '---'].join('\n')}`,
    `# ${name}`,
    line(general['general.description'] ?? '') || `${name.replace(/^[^\p{L}]+/u, '')}, imported from a GGUF file.`,
    `Most of its weights are ${quantization}, held exactly as they are in ${file}. ${whereItRuns(onlyOn)}`,
  ];
  return new TextEncoder().encode(`${paragraphs.join('\n\n')}\n`);
}

/** A sentence on the devices that hold a model's weights exactly. */
export function whereItRuns(onlyOn: 'wasm' | null): string {
  return onlyOn === null
    ? 'Graphics devices and processors run it.'
    : 'Processors alone run it: the kernels for graphics devices cannot hold these weights exactly.';
}
