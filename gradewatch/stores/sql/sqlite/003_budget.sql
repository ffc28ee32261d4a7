-- What spends a budget: applied repairs that a watch decided on; a person's own act spends none. By queue before time,
-- so that those of one queue are counted by a walk of the index alone, however many there are.
DROP INDEX audit_spent;
CREATE INDEX audit_budget ON audit (action, queue, at) WHERE outcome = 'applied' AND reason <> 'operator';
