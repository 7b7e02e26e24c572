/** The property bag at the end of a topic: system properties behind `$.`, application properties as they are. */
import type { PropertyBag } from '../device-backend.ts'

/** Later duplicates win, as in the service. @throws URIError on a broken percent sequence */
export function parsePropertyBag(bag: string): PropertyBag {
  const system = new Map<string, string>()
  const application = new Map<string, string>()
  for (const part of bag.split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = decodeURIComponent(equals < 0 ? part : part.slice(0, equals))
    const value = equals < 0 ? '' : decodeURIComponent(part.slice(equals + 1))
    if (name.startsWith('$.')) system.set(name.slice(2), value)
    else application.set(name, value)
  }
  return { system, application: [...application] }
}

export function formatPropertyBag({ system, application }: PropertyBag): string {
  const parts = [...system].map(([name, value]) => `%24.${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
  for (const [name, value] of application) parts.push(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
  return parts.join('&')
}
