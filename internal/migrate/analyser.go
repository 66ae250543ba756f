package migrate

import (
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// analyser collects what one statement locks.
type analyser struct {
	line    int
	locks   []lockTaken
	created []tableName
	// unknown is a block of code, which may lock anything, as functions may.
	unknown   string
	functions []string
}

func (a *analyser) add(relation string, mode LockMode) *lockTaken {
	a.locks = append(a.locks, lockTaken{Line: a.line, Relation: relation, Mode: mode})
	return &a.locks[len(a.locks)-1]
}

// takes says what takes long. What rewrites the table takes longest, and only its alternative avoids that.
func (l *lockTaken) takes(long, safe string) {
	if l.Long != rewrites {
		l.Long, l.Safe = long, safe
	}
}

const (
	rewrites  = "rewrites the table and its indexes"
	buildsOne = "builds an index"
	scans     = "checks all rows"

	ownFile       = ` in a file of its own with "-- +goose NO TRANSACTION"`
	newColumn     = "add another column, fill it in batches, and switch to it"
	notValid      = "add it as NOT VALID, and run VALIDATE CONSTRAINT in a later migration"
	usingIndex    = "CREATE UNIQUE INDEX CONCURRENTLY" + ownFile + ", and then ADD CONSTRAINT … USING INDEX"
	inBatches     = "change rows in batches, in a migration of its own"
	inQuietHours  = "there is none: do it in a quiet hour, with a higher max_locked_bytes"
	createNotNull = "ADD CONSTRAINT … CHECK (column IS NOT NULL) NOT VALID, VALIDATE CONSTRAINT in a later migration, and SET NOT " +
		"NULL in one after that, which then checks nothing"
)

func (a *analyser) statement(kind string, s node) {
	relation := s.get("relation").relation()
	switch kind {
	case "AlterTableStmt":
		for _, command := range s.list("cmds") {
			a.alterTable(relation, command.get("AlterTableCmd"))
		}
	case "CreateStmt":
		a.createTable(s)
	case "IndexStmt":
		if s.truth("concurrent") {
			a.add(relation, ShareUpdateExclusive)
		} else {
			a.add(relation, Share).takes(buildsOne, "CREATE INDEX CONCURRENTLY"+ownFile)
		}
	case "DropStmt":
		a.drop(s)
	case "TruncateStmt":
		a.each(s.list("relations"), AccessExclusive)
		if s.text("behavior") == "DROP_CASCADE" {
			for _, truncated := range s.list("relations") {
				a.add(truncated.get("RangeVar").relation(), AccessExclusive).Partners = "*"
			}
			a.unknown = "TRUNCATE … CASCADE"
		}
	case "LockStmt":
		a.each(s.list("relations"), LockMode(s.number("mode")))
	case "CreateTrigStmt":
		a.add(relation, ShareRowExclusive)
		if other := s.get("constrrel"); other != nil {
			a.add(other.relation(), ShareRowExclusive)
		}
	case "CreatePolicyStmt", "AlterPolicyStmt":
		a.add(s.get("table").relation(), AccessExclusive)
	case "RuleStmt", "AlterObjectSchemaStmt":
		a.add(relation, AccessExclusive)
	case "ViewStmt":
		if s.truth("replace") {
			a.add(s.get("view").relation(), AccessExclusive)
		}
	case "RenameStmt":
		if s.text("renameType") != "OBJECT_INDEX" {
			a.add(relation, AccessExclusive)
		}
	case "CommentStmt":
		a.comment(s)
	case "AlterDomainStmt":
		a.unknown = "ALTER DOMAIN, which checks all tables that use the domain,"
	case "VariableSetStmt":
		if s.text("name") == "search_path" {
			a.unknown = "what follows this change of search_path"
		}
	case "CreatePublicationStmt", "AlterPublicationStmt":
		for _, each := range s.list("pubobjects") {
			if published := each.get("PublicationObjSpec").get("pubtable").get("relation"); published != nil {
				a.add(published.relation(), ShareUpdateExclusive)
			}
		}
	case "CreateStatsStmt":
		a.each(s.list("relations"), ShareUpdateExclusive)
	default:
		a.rows(kind, relation, s)
	}
}

// rows is about statements that read, change or rearrange rows.
func (a *analyser) rows(kind, relation string, s node) {
	switch kind {
	case "InsertStmt":
		inserted := a.add(relation, RowExclusive)
		if s.get("selectStmt").get("SelectStmt").list("fromClause") != nil {
			inserted.takes("copies rows", inBatches)
		}
	case "UpdateStmt", "DeleteStmt", "MergeStmt":
		a.add(relation, RowExclusive).takes("changes rows", inBatches)
	case "SelectStmt":
		for _, function := range s.find("FuncCall") {
			a.function(function)
		}
		if s.list("lockingClause") != nil {
			a.each(s.list("fromClause"), RowShare)
		}
	case "CreateTableAsStmt":
		a.creates(s.get("into").get("rel"))
		a.add("", RowShare).takes("copies rows", inBatches)
	case "RefreshMatViewStmt":
		if s.truth("concurrent") {
			a.add(relation, Exclusive)
		} else {
			a.add(relation, AccessExclusive).takes("computes all rows", "REFRESH MATERIALIZED VIEW CONCURRENTLY")
		}
	case "ClusterStmt":
		if relation == "" {
			a.unknown = "CLUSTER of all tables that were clustered before"
			return
		}
		a.add(relation, AccessExclusive).takes(rewrites, inQuietHours)
	case "VacuumStmt":
		if s.list("rels") == nil && s.option("full") {
			a.unknown = "VACUUM FULL of all tables"
		}
		for _, each := range s.list("rels") {
			vacuumed := each.get("VacuumRelation").get("relation").relation()
			if s.option("full") {
				a.add(vacuumed, AccessExclusive).takes(rewrites, "VACUUM without FULL")
			} else {
				a.add(vacuumed, ShareUpdateExclusive)
			}
		}
	case "ReindexStmt":
		switch {
		case s.option("concurrently"):
			a.add(relation, ShareUpdateExclusive)
		case relation == "":
			a.unknown = "REINDEX of all tables"
		default:
			a.add(relation, Share).takes("builds indexes, which nobody can use meanwhile", "REINDEX … CONCURRENTLY"+ownFile)
		}
	case "DoStmt":
		a.unknown = "this DO block"
	case "CallStmt":
		a.unknown = "this procedure"
	}
}

// isolates are the provider's own functions that change a table; its others lock nothing.
var isolates = []string{"isolate_table", "hide_statistics", "write_policies", "guard_keys"}

func (a *analyser) function(call node) {
	name := call.names("funcname")
	if len(name) == 2 && name[0] == "brownie" && slices.Contains(isolates, name[1]) {
		if arguments := call.list("args"); len(arguments) > 0 && arguments[0].constant() != "" {
			a.add(arguments[0].constant(), AccessExclusive)
			return
		}
	}
	a.functions = append(a.functions, last(name))
}

func (a *analyser) each(relations []node, mode LockMode) {
	for _, relation := range relations {
		a.add(relation.get("RangeVar").relation(), mode)
	}
}

func (a *analyser) alterTable(relation string, command node) {
	kind := strings.TrimPrefix(command.text("subtype"), "AT_")
	_, definition := command.get("def").only()
	switch kind {
	case "ValidateConstraint":
		a.add(relation, ShareUpdateExclusive).takes(scans, "")
	case "SetStatistics", "SetOptions", "ResetOptions", "ClusterOn", "DropCluster", "SetRelOptions", "ResetRelOptions":
		a.add(relation, ShareUpdateExclusive)
	case "EnableTrig", "EnableAlwaysTrig", "EnableReplicaTrig", "DisableTrig", "EnableTrigAll", "DisableTrigAll",
		"EnableTrigUser", "DisableTrigUser":
		a.add(relation, ShareRowExclusive)
	case "AddConstraint":
		a.addConstraint(relation, definition)
	case "DropConstraint":
		a.add(relation, AccessExclusive)
		a.add(relation, AccessExclusive).Partners = command.text("name")
	case "AddColumn":
		a.addColumn(relation, definition)
	case "AlterColumnType", "SetExpression":
		a.add(relation, AccessExclusive).takes(rewrites, newColumn)
		partner := a.add(relation, AccessExclusive) // Foreign keys with the column are made anew, and checked.
		partner.Partners = "column:" + command.text("name")
		partner.takes(scans, newColumn)
	case "DropColumn":
		a.add(relation, AccessExclusive)
		a.add(relation, AccessExclusive).Partners = "column:" + command.text("name")
	case "SetNotNull":
		l := a.add(relation, AccessExclusive)
		l.takes(scans, createNotNull)
		l.UnlessNotNull = command.text("name")
	case "SetLogged", "SetUnLogged", "SetAccessMethod", "SetTableSpace":
		a.add(relation, AccessExclusive).takes(rewrites, inQuietHours)
	case "AttachPartition":
		a.add(relation, ShareUpdateExclusive)
		a.add(relation, AccessExclusive).Partners = "default"
		a.add(definition.get("name").relation(), AccessExclusive).takes(scans,
			"add a CHECK constraint that says the same as the partition's bounds as NOT VALID, and validate it before")
	case "DetachPartition":
		mode := AccessExclusive
		if definition.truth("concurrent") {
			mode = ShareUpdateExclusive
		}
		a.add(relation, mode)
		a.add(relation, mode).Partners = "default"
		a.add(definition.get("name").relation(), mode)
	default:
		a.add(relation, AccessExclusive)
	}
}

func (a *analyser) addConstraint(relation string, c node) {
	checked := !c.truth("skip_validation")
	switch c.text("contype") {
	case "CONSTR_FOREIGN":
		for _, each := range []string{relation, c.get("pktable").relation()} {
			if l := a.add(each, ShareRowExclusive); checked {
				l.takes(scans, notValid)
			}
		}
	case "CONSTR_PRIMARY", "CONSTR_UNIQUE":
		if l := a.add(relation, AccessExclusive); c.text("indexname") == "" {
			l.takes(buildsOne, usingIndex)
		}
	case "CONSTR_EXCLUSION":
		a.add(relation, AccessExclusive).takes(buildsOne, inQuietHours)
	default:
		if l := a.add(relation, AccessExclusive); checked {
			l.takes(scans, notValid)
		}
	}
}

// once are functions whose result is the same for all rows, so that a default with them is stored but once.
var once = []string{
	"now", "transaction_timestamp", "statement_timestamp", "timezone", "current_setting", "current_database", "lower", "upper",
	"jsonb_build_object", "jsonb_build_array", "json_build_object", "json_build_array", "to_jsonb", "to_json", "make_interval",
}

func (a *analyser) addColumn(relation string, column node) {
	index := len(a.locks)
	a.add(relation, AccessExclusive)
	takes := func(long, safe string) { a.locks[index].takes(long, safe) } // By its index, since the list grows.
	if types := column.get("typeName").names("names"); len(types) > 0 && strings.Contains(types[len(types)-1], "serial") {
		takes(rewrites, newColumn)
	}
	defaulted := false
	for _, each := range column.list("constraints") {
		switch c := each.get("Constraint"); c.text("contype") {
		case "CONSTR_DEFAULT":
			defaulted = true
			if slices.ContainsFunc(c.find("FuncCall"), func(f node) bool { return !slices.Contains(once, last(f.names("funcname"))) }) {
				takes(rewrites, "add the column without a default, set the default in a later statement, and fill the column in batches")
			}
		case "CONSTR_IDENTITY", "CONSTR_GENERATED":
			takes(rewrites, newColumn)
		case "CONSTR_PRIMARY", "CONSTR_UNIQUE":
			takes(buildsOne, usingIndex)
		case "CONSTR_CHECK":
			takes(scans, "add the column alone, and its constraint as NOT VALID")
		case "CONSTR_FOREIGN":
			referenced := a.add(c.get("pktable").relation(), ShareRowExclusive)
			if defaulted {
				referenced.takes(scans, notValid)
				takes(scans, notValid)
			}
		}
	}
}

func (a *analyser) createTable(s node) {
	a.creates(s.get("relation"))
	mode := ShareUpdateExclusive
	if s.get("partbound") != nil {
		mode = AccessExclusive
	}
	a.each(s.list("inhRelations"), mode)
	if s.get("partbound") != nil {
		a.add(s.list("inhRelations")[0].get("RangeVar").relation(), AccessExclusive).Partners = "default"
	}
	constraints := s.list("constraints")
	for _, element := range s.list("tableElts") {
		constraints = append(constraints, element)
		constraints = append(constraints, element.get("ColumnDef").list("constraints")...)
	}
	for _, each := range constraints {
		if c := each.get("Constraint"); c.text("contype") == "CONSTR_FOREIGN" {
			a.add(c.get("pktable").relation(), ShareRowExclusive)
		}
	}
}

func (a *analyser) creates(relation node) {
	a.created = append(a.created, tableName{relation.text("schemaname"), relation.text("relname")})
}

func (a *analyser) drop(s node) {
	if s.text("behavior") == "DROP_CASCADE" {
		a.unknown = "DROP … CASCADE"
	}
	for _, object := range s.list("objects") {
		name := object.get("List").names("items")
		switch kind := s.text("removeType"); kind {
		case "OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE":
			a.add(identifier(name), AccessExclusive)
			a.add(identifier(name), AccessExclusive).Partners = "*"
			a.add(identifier(name), AccessExclusive).Partners = "parent"
		case "OBJECT_INDEX":
			mode := AccessExclusive
			if s.truth("concurrent") {
				mode = ShareUpdateExclusive
			}
			a.add(identifier(name), mode)
		case "OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE":
			a.add(identifier(name[:len(name)-1]), AccessExclusive)
		}
	}
}

func (a *analyser) comment(s node) {
	name := s.get("object").get("List").names("items")
	switch s.text("objtype") {
	case "OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_INDEX":
		a.add(identifier(name), ShareUpdateExclusive)
	case "OBJECT_COLUMN", "OBJECT_TABCONSTRAINT", "OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE":
		a.add(identifier(name[:len(name)-1]), ShareUpdateExclusive)
	}
}

func last(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[len(names)-1]
}

// identifier is a name in SQL.
func identifier(name []string) string { return pgx.Identifier(name).Sanitize() }
