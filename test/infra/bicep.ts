/** Reads Bicep far enough to hold it against the code: what is declared, what is passed, what is named. */
import { createRequire } from 'node:module'
import { Language, Parser } from 'web-tree-sitter'

let parser: Promise<Parser> | undefined

async function bicepParser(): Promise<Parser> {
  await Parser.init()
  const made = new Parser()
  made.setLanguage(await Language.load(createRequire(import.meta.url).resolve('tree-sitter-bicep/tree-sitter-bicep.wasm')))
  return made
}

/** Whether the text is Bicep, by the grammar. */
export async function isBicep(text: string): Promise<boolean> {
  parser ??= bicepParser()
  const tree = (await parser).parse(text)
  return tree !== null && !tree.rootNode.hasError
}

/** Parameters of a file, and whether a caller must give them. */
export function parametersOf(text: string): Map<string, { isRequired: boolean }> {
  return new Map(
    [...text.matchAll(/^param (\w+) \S+( *=)?/gm)].map(([, name, hasDefault]) => [name!, { isRequired: hasDefault === undefined }]),
  )
}

export function outputsOf(text: string): Set<string> {
  return new Set([...text.matchAll(/^output (\w+) /gm)].map((match) => match[1]!))
}

export type ModuleCall = { readonly name: string; readonly path: string; readonly given: Set<string> }

/** Modules that a file calls, with the names of what it passes. */
export function modulesOf(text: string): ModuleCall[] {
  return [...text.matchAll(/^module (\w+) '([^']+)' = \{([\s\S]*?)^\}/gm)].map(([, name, path, body]) => {
    const parameters = /\n  params: \{([\s\S]*)\}/.exec(body!)?.[1] ?? ''
    return { name: name!, path: path!, given: new Set([...parameters.matchAll(/(?:^|[\n,{])\s*(\w+):/g)].map((match) => match[1]!)) }
  })
}

/** The values of an array parameter's default. */
export function arrayOf(text: string, parameter: string): string[] {
  const body = new RegExp(`param ${parameter} array = \\[([\\s\\S]*?)\\]`).exec(text)?.[1] ?? ''
  return [...body.matchAll(/'([^']+)'/g)].map((match) => match[1]!)
}

/** Keys of the app settings, with their values as they stand there. */
export function appSettingsOf(text: string): Map<string, string> {
  const body = /name: 'appsettings'\s*properties: \{([\s\S]*?)\n {4}\}/.exec(text)?.[1] ?? ''
  return new Map([...body.matchAll(/^\s*(\w+): (.+)$/gm)].map(([, key, value]) => [key!, value!]))
}

/** What is wrong between a file and the modules it calls, as sentences. */
export function wrongCalls(text: string, read: (path: string) => string | undefined): string[] {
  const problems: string[] = []
  const calls = modulesOf(text)
  for (const { name, path, given } of calls) {
    const callee = read(path)
    if (callee === undefined) {
      problems.push(`module '${name}' names '${path}', which is not there`)
      continue
    }
    const parameters = parametersOf(callee)
    for (const parameter of given) if (!parameters.has(parameter)) problems.push(`module '${name}' has no parameter '${parameter}'`)
    for (const [parameter, { isRequired }] of parameters)
      if (isRequired && !given.has(parameter)) problems.push(`module '${name}' wants '${parameter}'`)
    for (const parameter of parameters.keys())
      if (!new RegExp(`\\b${parameter}\\b`).test(callee.replace(new RegExp(`^param ${parameter} .*$`, 'm'), '')))
        problems.push(`'${path}' does not use its parameter '${parameter}'`)
  }
  for (const [, name, output] of text.matchAll(/\b(\w+)\.outputs\.(\w+)/g)) {
    const call = calls.find((known) => known.name === name)
    const callee = call && read(call.path)
    if (callee === undefined || !outputsOf(callee).has(output!)) problems.push(`'${name}' has no output '${output}'`)
  }
  return problems
}
