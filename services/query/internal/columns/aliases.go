package columns

// AnonymousIDs are those whose events, where they name nobody, are the user's:
// the user may be one of them.
func (v *View) AnonymousIDs(user uint32) (ids []string) {
	for identity, of := range v.users {
		if name := v.identities.at(uint32(identity)); of == user && name[0] == anonymous {
			ids = append(ids, unpack(name))
		}
	}
	return ids
}
