/** What `/api/v1/openapi.json` promises, held against what is really answered. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

type Described = { readonly content?: Readonly<Record<string, { readonly schema?: unknown }>> }
export type Operation = {
  readonly operationId: string
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[]
  readonly responses: Readonly<Record<string, Described>>
}
export type ApiDocument = {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Readonly<Record<string, unknown>>>> }
}

/** @returns asks what is wrong with an answer to an operation; an empty list when it is as described */
export function answersOf(document: ApiDocument): (path: string, method: string, response: Response) => Promise<string[]> {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats.default(ajv)
  ajv.addSchema(document, 'api')
  return async (path, method, response) => {
    const { responses } = document.paths[path]![method.toLowerCase()]!
    const status = Object.hasOwn(responses, response.status) ? String(response.status) : 'default'
    if (status === 'default' && response.ok) return [`${method} ${path}: ${response.status} is not described`]
    const type = response.headers.get('content-type')?.split(';')[0]
    const text = await response.text()
    const content = responses[status]!.content
    if (!content) return text === '' ? [] : [`${method} ${path}: ${response.status} has a body that is not described`]
    const schema = content[type ?? '']
    if (!schema) return [`${method} ${path}: ${response.status} comes as ${type}`]
    if (!schema.schema) return []
    const place = ['paths', path, method.toLowerCase(), 'responses', status, 'content', type!, 'schema']
    const pointer = place.map((step) => encodeURIComponent(step.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')
    const validate = ajv.getSchema(`api#/${pointer}`)!
    return validate(JSON.parse(text)) ? [] : [`${method} ${path}: ${ajv.errorsText(validate.errors)}`]
  }
}
