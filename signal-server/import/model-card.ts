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
